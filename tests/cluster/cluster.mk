# A real Kubernetes for the tests, on this machine: tests/cluster/local.py says how.

.PHONY: cluster-tools images load-images cluster cluster-down

cluster-tools: ## Build what a local cluster needs (and helm), once; print the folder
	@$(PYTHON3) -m tests.cluster.toolchain

images: $(READY) page ## Build the images of nodes and model-init (BASE_IMAGE=…)
	@$(BIN)/python -m tests.cluster.images

load-images: images ## Give the images to a cluster that has no registry (INTO=kind, minikube or k3s)
	@$(BIN)/python -m tests.cluster.images $(INTO)

cluster: $(READY) cluster-tools images ## Start a local Kubernetes with the images; say how to use it (NODES=2)
	@$(BIN)/python -m tests.cluster.local up --nodes $(or $(NODES),1)

cluster-down: $(READY) ## End the local Kubernetes; nothing of it stays
	@$(BIN)/python -m tests.cluster.local down
