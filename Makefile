# The commands of Moorline. Each installs what it needs first and says what (tools/install.sh).
.PHONY: help install peers demo demo-hosts check unit kernel test bench

help:
	@echo 'make demo        two sandboxes on a network of their own, shown and removed again (root)'
	@echo 'make demo-hosts  three hosts and an etcd, a network on each backend, a host that dies; likewise (root)'
	@echo 'make test        all tests: unit, and as root those that need the kernel'
	@echo 'make check       format, lint, types, unused code, layers'
	@echo 'make bench       measured beside Docker, the CNI bridge plugin and netavark (root)'
	@echo 'make unit        only the tests that need no root; make kernel: only the others'
	@echo 'make install     Debian packages, npm packages, the bundle; bin/moor runs after it'

install:
	@tools/install.sh

peers:
	@tools/peers.sh
	@tools/stores.sh

demo: install
	@npm run --silent demo

demo-hosts: install peers
	@npm run --silent demo-hosts

check: install
	@npm run --silent check

unit: install
	@npm run --silent unit

kernel: install peers
	@npm run --silent kernel

test: install peers
	@npm test --silent

bench: install peers
	@npm run --silent bench
