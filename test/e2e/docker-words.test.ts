/**
 * `moor network` beside the stock Docker CLI: the same command line against the same recorded answers prints the same, byte by
 * byte. (Whether our daemon gives such answers is for docker.test.ts.)
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { resolve } from 'node:path';
import { dockerCli, run } from '../support/daemon.ts';

const MOOR = resolve(import.meta.dirname, '../../src/main/moor.ts');

const NETWORKS = [
  {
    Name: 'net10',
    Id: '8a1c7f2d9b3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde',
    Created: '2026-01-31T10:20:30.123456789Z',
    Scope: 'local',
    Driver: 'bridge',
    EnableIPv4: true,
    EnableIPv6: true,
    IPAM: {
      Driver: 'default',
      Options: { b: '2', a: '1' },
      Config: [
        {
          Subnet: '192.168.7.0/24',
          IPRange: '192.168.7.128/25',
          Gateway: '192.168.7.1',
          AuxiliaryAddresses: { router: '192.168.7.2' },
        },
        { Subnet: 'fd00:7::/64', Gateway: 'fd00:7::1' },
      ],
    },
    Internal: false,
    Attachable: true,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {
      ff00: { Name: 'web', EndpointID: 'e1', MacAddress: '02:42:c0:a8:07:0a', IPv4Address: '192.168.7.10/24', IPv6Address: '' },
      '0a00': { Name: 'db', EndpointID: 'e2', MacAddress: '02:42:c0:a8:07:0b', IPv4Address: '192.168.7.11/24', IPv6Address: '' },
    },
    Options: { 'com.docker.network.driver.mtu': '1450' },
    // One only: Docker prints several in random order.
    Labels: { 'com.example.tier-one': 'db' },
  },
  {
    Name: 'net2',
    Id: '1b1c7f2d9b3e4f5061728394a5b6c7d8e9f00112233445566778899aabbccdde',
    Created: '2026-01-31T10:20:30Z',
    Scope: 'local',
    Driver: 'a-driver-with-a-long-name',
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: 'default', Options: null, Config: [] },
    Internal: true,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: {},
    Options: null,
    Labels: { plain: 'x' },
  },
] as const;

/** Same words, same output, same success. */
const SAME: readonly (readonly string[])[] = [
  ['ls'],
  ['list', '--no-trunc'],
  ['ls', '-q'],
  ['ls', '-q', '--no-trunc'],
  ['ls', '--format', '{{.Name}}'],
  ['ls', '--format', '{{json .}}'],
  ['ls', '--format', 'json'],
  ['ls', '--format', 'table'],
  ['ls', '--format', String.raw`table {{.Name}}\t{{.Internal}}\t{{.IPv6}}\t{{.Labels}}`],
  ['ls', '--format', String.raw`table {{.ID}}\t{{.Label "com.example.tier-one"}}\t{{.CreatedAt}}`],
  ['ls', '--format', String.raw`table {{upper .Name}}: {{.Driver}}`],
  ['ls', '--format', '{{.Label "plain"}}|{{.Label "missing"}}|{{.CreatedAt}}'],
  ['ls', '--format', '{{if eq .Driver "bridge"}}B{{else}}-{{end}} {{.ID | upper}} {{len .Name}}'],
  ['ls', '--format', '{{printf "%-8s|%5s|%q" .Name .Scope .Driver}}'],
  ['ls', '--format', '{{pad .Name 1 2}}|{{truncate .Driver 3}}|{{title .Scope}}|{{join (split .Driver "-") "+"}}'],
  ['ls', '--filter=driver=bridge', '-f', 'name=x'],
  ['inspect', 'net10'],
  ['inspect', 'net2', 'net10'],
  ['inspect', '--format', 'json', 'net10'],
  ['inspect', '-f', '{{.Name}} {{.Id}}', 'net10'],
  ['inspect', '-f', '{{json .}}', 'net10'],
  ['inspect', '-f', '{{.ID}}', 'net10'],
  ['inspect', '-f', '{{.IPAM.Config}}', 'net10'],
  ['inspect', '-f', '{{.IPAM}}', 'net10'],
  ['inspect', '-f', '{{json .IPAM.Config}}', 'net10'],
  ['inspect', '-f', '{{json .Labels}}', 'net10'],
  ['inspect', '-f', '{{.Created}}', 'net10', 'net2'],
  ['inspect', '-f', '{{range .IPAM.Config}}{{.Subnet}} {{.Gateway}} {{.IPRange}};{{end}}', 'net10'],
  ['inspect', '-f', '{{range $i, $c := .IPAM.Config}}{{if $i}}, {{end}}{{$c.Subnet}}{{end}}', 'net10'],
  ['inspect', '-f', '{{range $id, $c := .Containers}}{{$id}}={{$c.Name}} {{end}}', 'net10'],
  ['inspect', '-f', '{{range .Containers}}{{println .Name .IPv4Address}}{{else}}nobody{{end}}', 'net10', 'net2'],
  ['inspect', '-f', '{{(index .IPAM.Config 0).Gateway}}', 'net10'],
  ['inspect', '-f', '{{index .Options "com.docker.network.driver.mtu"}}|{{index .Options "nothing"}}|', 'net10'],
  ['inspect', '-f', '{{(index .Containers "ff00").Name}}', 'net10'],
  ['inspect', '-f', '{{len .Containers}} {{len .Labels}} {{len .Name}}', 'net10'],
  ['inspect', '-f', '{{with .Labels}}{{.plain}}{{else}}none{{end}}', 'net10', 'net2'],
  ['inspect', '-f', '{{if and .EnableIPv6 (not .Internal)}}yes{{else if .Internal}}internal{{else}}no{{end}}', 'net10', 'net2'],
  ['inspect', '-f', '{{.Containers}}', 'net10'],
  ['inspect', '-f', '{{.Labels}} {{.Options}} {{.Internal}}', 'net10', 'net2'],
  ['inspect', '-f', 'a {{- /* nothing */ -}} b {{"x" -}}  c', 'net10'],
  ['inspect', '-f', '{{$x := .Name}}{{range .IPAM.Config}}{{$x}}{{$x = .Subnet}} {{end}}{{$x}}', 'net10'],
  ['inspect', '-f', '{{range .IPAM.Config}}{{if .IPRange}}{{continue}}{{end}}{{.Subnet}}{{break}}{{end}}', 'net10'],
  ['inspect', '-f', '{{slice .ID 0 12}} {{lower "ABC"}} {{print 1 2 "x" 3}} {{printf "%05d|%-4d|%x" 42 7 255}}', 'net10'],
  ['inspect', '-f', '{{eq .Driver "a" "bridge"}} {{ne 1 2}} {{lt 1 2}} {{ge "b" "a"}} {{or "" "z"}} {{and 1 0}}', 'net10'],
  ['inspect', '-f', '{{.Labels.plain}} {{.Labels.nothing}}', 'net10'],
  ['inspect', '-f', '{{$.Name}} {{`raw`}} {{true}}', 'net10'],
  ['inspect', 'missing'],
  ['inspect', 'net2', 'missing'],
  ['inspect', '-f', '{{.Name}}', 'missing', 'net2'],
];

/** Both refuse: the texts before the colon of the program are compared where they are meant to be equal. */
const REFUSED: readonly (readonly [words: readonly string[], text: string])[] = [
  [['ls', '--format', '{{.Nope}}'], '<.Nope>: '],
  [['inspect', '-f', '{{.Nope}}', 'net10'], 'map has no entry for key "Nope"'],
  [['inspect', '-f', '{{nope .Name}}', 'net10'], 'function "nope" not defined'],
  [['inspect', '-f', '{{.Name', 'net10'], 'unclosed action'],
  [['inspect', '-f', '{{if .Name}}x', 'net10'], 'unexpected EOF'],
  [['inspect', '-f', '{{end}}', 'net10'], 'unexpected {{end}}'],
  [['inspect', '-f', '{{index .IPAM.Config 5}}', 'net10'], 'index out of range: 5'],
  [['inspect', '-f', '{{"x}}', 'net10'], 'unterminated quoted string'],
  [['inspect', '-f', '{{$nope}}', 'net10'], 'undefined variable "$nope"'],
  [['ls', '--filter', 'foo'], 'bad format of filter (expected name=value)'],
  [['ls', 'x'], 'accepts no arguments'],
  [['rm'], 'requires at least 1 argument'],
  [['connect', 'x'], 'requires 2 arguments'],
  [['create'], 'requires 1 argument'],
  [['create', '--nope', 'x'], 'unknown flag: --nope'],
  [['create', '-Z', 'x'], "unknown shorthand flag: 'Z' in -Z"],
  [['create', 'x', '--subnet'], 'flag needs an argument: --subnet'],
  [['create', '--internal=maybe', 'x'], 'invalid argument "maybe" for "--internal" flag'],
  [['create', '--label', '=x', 'x'], "invalid label '=x': empty name"],
  [
    ['create', '--subnet', '10.0.0.0/8', '--subnet', '10.1.0.0/16', 'x'],
    'multiple overlapping subnet configuration is not supported',
  ],
  [['create', '--gateway', '10.0.0.1', 'x'], 'every ip-range or gateway must have a corresponding subnet'],
  [['create', '--subnet', '10.0.0.0/24', '--gateway', '10.1.0.1', 'x'], 'no matching subnet for gateway 10.1.0.1'],
  [
    ['create', '--subnet', '10.0.0.0/24,10.1.0.0/24', '--gateway', '10.0.0.1,10.0.0.2', 'x'],
    'cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/24)',
  ],
  [
    ['create', '--subnet', '10.0.0.0/24,10.1.0.0/24', '--ip-range', '10.0.0.0/25', '--ip-range', '10.0.0.128/25', 'x'],
    'cannot configure multiple ranges (10.0.0.128/25, 10.0.0.0/25) on the same subnet (10.0.0.0/24)',
  ],
  [['create', '--subnet', '10.0.0.0/24', '--ip-range', '10.4.0.0/25', 'x'], 'no matching subnet for range 10.4.0.0/25'],
  [['create', '--subnet', '10.0.0.0/24', '--aux-address', 'r=10.4.0.1', 'x'], 'no matching subnet for aux-address 10.4.0.1'],
  [['create', '--subnet', '10.0.0.0/33', 'x', '--gateway', '10.0.0.1'], 'invalid subnet: invalid CIDR address: 10.0.0.0/33'],
  [['connect', '--driver-opt', 'x', 'a', 'b'], 'invalid key/value pair format in driver options'],
];

const docker = dockerCli();

describe('moor network beside the Docker CLI', { skip: docker === null ? 'no Docker CLI on this machine' : false }, () => {
  const directory = mkdtempSync('/tmp/moor-words-');
  const host = `unix://${directory}/s`;
  const server = createServer((request, response) => {
    const path = (request.url ?? '').replace(/^\/v1\.\d+/, '').replace(/\?.*/, '');
    const name = /^\/networks\/(.+)$/.exec(path)?.[1];
    response.setHeader('api-version', '1.51');
    response.setHeader('content-type', 'application/json');
    if (path === '/_ping') response.end('OK');
    else if (path === '/networks') response.end(JSON.stringify(NETWORKS));
    else {
      const found = NETWORKS.find((network) => network.Name === name);
      if (!found) response.statusCode = 404;
      response.end(JSON.stringify(found ?? { message: `network ${name} not found` }));
    }
  });
  before(() => new Promise<void>((done) => server.listen(`${directory}/s`, done)));
  after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });

  const both = (words: readonly string[]) =>
    Promise.all([
      run(docker ?? '', ['-H', host, 'network', ...words]),
      run(process.execPath, [MOOR, '-H', host, 'network', ...words]),
    ]);

  for (const words of SAME) {
    it(words.join(' '), async () => {
      const [theirs, ours] = await both(words);
      assert.equal(ours.stdout, theirs.stdout, ours.stderr);
      assert.equal(ours.code === 0, theirs.code === 0, ours.stderr);
    });
  }
  for (const [words, text] of REFUSED) {
    it(`refused: ${words.join(' ')}`, async () => {
      const [theirs, ours] = await both(words);
      assert.notEqual(theirs.code, 0);
      assert.notEqual(ours.code, 0);
      assert.ok(theirs.stderr.includes(text), `Docker says: ${theirs.stderr}`);
      assert.ok(ours.stderr.includes(text), `moor says: ${ours.stderr}`);
    });
  }
});
