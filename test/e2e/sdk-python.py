"""Docker's Python SDK (Debian's python3-docker) through a container's life. DOCKER_HOST says where; each step checks what it got."""

import socket
import time

import docker


def said(container, text):
    """A container that has just been started needs a moment until it prints."""
    deadline = time.monotonic() + 15
    while container.logs() != text:
        assert time.monotonic() < deadline, container.logs()
        time.sleep(0.02)


client = docker.from_env(timeout=60)
assert client.ping()
assert client.version()["Version"], client.version()

front = client.networks.create("py-front", driver="bridge", labels={"tier": "web"})
pool = docker.types.IPAMPool(subnet="10.91.0.0/24", gateway="10.91.0.1")
back = client.networks.create("py-back", ipam=docker.types.IPAMConfig(pool_configs=[pool]))
assert [network.name for network in client.networks.list(filters={"label": "tier=web"})] == ["py-front"]

output = client.containers.run("busybox", ["echo", "hello"], remove=True)
assert output == b"hello\n", output
try:
    client.containers.run("busybox", ["sh", "-c", "echo wrong >&2; exit 3"], remove=True)
    raise AssertionError("an exit code of 3 is an error")
except docker.errors.ContainerError as error:
    assert error.exit_status == 3 and error.stderr == b"wrong\n", error

web = client.containers.run(
    "busybox",
    ["sh", "-c", "echo started; httpd -f -p 80 -h /srv"],
    name="py-web",
    detach=True,
    network="py-front",
    environment={"COLOUR": "blue"},
    volumes={"py-data": {"bind": "/srv", "mode": "rw"}},
)
assert web.status == "created", web.status
web.reload()
assert web.status == "running", web.status

back.connect(web, ipv4_address="10.91.0.10", aliases=["site"])
web.reload()
ends = web.attrs["NetworkSettings"]["Networks"]
assert sorted(ends) == ["py-back", "py-front"], ends
assert ends["py-back"]["IPAddress"] == "10.91.0.10", ends
back.reload()
assert [container.name for container in back.containers] == ["py-web"]

code, output = web.exec_run(["sh", "-c", "echo $COLOUR; echo page > /srv/index.html; exit 5"])
assert (code, output) == (5, b"blue\n"), (code, output)
code, (out, err) = web.exec_run(["sh", "-c", "echo out; echo err >&2"], demux=True)
assert (code, out, err) == (0, b"out\n", b"err\n"), (code, out, err)

said(web, b"started\n")
page = client.containers.run("busybox", ["wget", "-q", "-O", "-", "http://10.91.0.10/"], network="py-back", remove=True)
assert page == b"page\n", page

assert next(web.logs(stream=True, follow=True)).startswith(b"s")
assert [row[-1] for row in web.top()["Processes"]][-1].startswith("httpd"), web.top()
assert web.stats(stream=False)["pids_stats"]["current"] >= 1

bits, stat = web.get_archive("/srv/index.html")
assert stat["name"] == "index.html" and stat["size"] == 5, stat
assert b"page\n" in b"".join(bits)

echo = client.containers.create("busybox", ["cat"], name="py-cat", stdin_open=True)
stream = echo.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
echo.start()
stream._sock.sendall(b"to and fro\n")
stream._sock.shutdown(socket.SHUT_WR)
answer = b""
while part := stream._sock.recv(1000):
    answer += part
assert answer == b"\x01\0\0\0\0\0\0\x0bto and fro\n", answer
assert echo.wait()["StatusCode"] == 0
echo.remove()

back.disconnect(web)
web.restart(timeout=0)
said(web, b"started\n" * 2)
web.stop(timeout=0)
web.reload()
assert web.status == "exited", web.status
web.remove()
try:
    client.containers.get("py-web")
    raise AssertionError("it was removed")
except docker.errors.NotFound as error:
    assert error.explanation == "No such container: py-web", error.explanation
client.volumes.get("py-data").remove()
for network in (front, back):
    network.remove()
assert client.containers.list(all=True) == [] and client.volumes.list() == []
print("python: done")
