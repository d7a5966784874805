# Trains the pocket bundle from nothing, in the order its parts need each other: `make pocket -j2`.
# Every script uses one thread, so two run side by side. Remove a folder of weights to train it anew.

PYTHON ?= .venv/bin/python
WEIGHTS := pocket/weights
DATA := pocket/.work/data/validation-1000
VAE := $(WEIGHTS)/stable-diffusion/vae/config.json
BASE := $(WEIGHTS)/stable-diffusion/model_index.json
FIRST := $(WEIGHTS)/controlnet-segmentation/config.json
CONTROLS := $(foreach kind,depth edges pose,$(WEIGHTS)/controlnet-$(kind)/config.json)
READERS := $(foreach name,clip depth segmentation people pose caption upscale,$(WEIGHTS)/$(name)/config.json)

.PHONY: pocket pocket-eval
pocket: $(BASE) $(FIRST) $(CONTROLS) $(READERS)  ## train every pocket model from nothing

pocket-eval:  ## measure every pocket model: pocket/QUALITY.md, pocket/samples.png
	$(PYTHON) -m pocket.evaluate

$(DATA):
	$(PYTHON) -m pocket.data

$(VAE): | $(DATA)
	$(PYTHON) -m pocket.train_vae

$(BASE): | $(VAE)
	$(PYTHON) -m pocket.train_diffusion

$(FIRST): | $(BASE)
	$(PYTHON) -m pocket.train_controlnet segmentation

$(CONTROLS): $(WEIGHTS)/controlnet-%/config.json: | $(FIRST)
	$(PYTHON) -m pocket.train_controlnet $*

$(READERS): $(WEIGHTS)/%/config.json: | $(DATA)
	$(PYTHON) -m pocket.train_$*
