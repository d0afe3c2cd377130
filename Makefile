# The two ways in: `make up` (a real RabbitMQ) and `make try` (Node.js alone). `make` lists the rest.
# What is behind the targets is described in infra/README.md.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What a build depends on. The folders count too: a deleted file changes nothing but its folder.
SOURCE_FOLDERS := contracts broker config runtime router edge cli examples
SOURCES := $(shell find $(SOURCE_FOLDERS) -name node_modules -prune -o -print 2>/dev/null)

.PHONY: help install build up down try test check chaos bench broker-up broker-down broker-status broker-reset clean node

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: build ## start RabbitMQ, Warren and the chat example; print the address of the page
	@infra/scripts/stack.sh up

down: ## stop whatever `make up` started
	@infra/scripts/stack.sh down

try: build ## the same on the embedded broker, in the foreground; nothing but Node.js needed
	@infra/scripts/stack.sh try

test: install broker-up build ## every test, against a real RabbitMQ
	@infra/scripts/broker.sh exec npm test

chaos: install broker-up ## break edges, routers, links and brokers for MINUTES=10; SEED=n repeats a run
	@MINUTES=$(or $(MINUTES),10) SEED=$(SEED) infra/scripts/broker.sh exec npm run --silent chaos

bench: install broker-up ## CPU per delivery and latency beside a bare ws loop; SUBSCRIBERS=1000,5000
	@SUBSCRIBERS=$(SUBSCRIBERS) infra/scripts/broker.sh exec npm run --silent bench

check: install ## format, lint, types, import rules, dead code, fast tests
	@npm run check

install: node_modules/.stamp ## install the packages, if package-lock.json changed

build: dist/.stamp ## compile to dist/, if a source changed

broker-up: node ## get a RabbitMQ: a running one, else docker compose, else one of this machine's
	@infra/scripts/broker.sh up

broker-down: node ## stop the RabbitMQ that `make broker-up` started
	@infra/scripts/broker.sh down

broker-status: node ## say whether a RabbitMQ answers, and whose it is
	@infra/scripts/broker.sh status

broker-reset: install ## delete Warren's exchanges and queues from the local RabbitMQ
	@infra/scripts/broker.sh reset

clean: down ## stop everything, remove what was built, and the state and data of a local broker
	rm -rf dist coverage .run

# Asks each time, because it is cheap; order-only below, so that it forces nothing to be rebuilt.
node:
	@infra/scripts/need-node.sh

node_modules/.stamp: package-lock.json | node
	npm ci
	@touch $@

dist/.stamp: node_modules/.stamp package.json tsconfig.json tsconfig.build.json $(SOURCES)
	npm run build
	@touch $@
