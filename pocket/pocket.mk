# Trains the pocket bundle from nothing, in the order its parts need each other: `make pocket -j2`.
# Every script uses one thread, so two run side by side. A run that was stopped goes on where it was;
# `rm -r pocket/.work/done` trains everything anew, `rm -r pocket/.work` draws the scenes anew too.

PYTHON ?= .venv/bin/python
DONE := pocket/.work/done
DATA := pocket/.work/data/validation-1000
READERS := clip depth normals segmentation people pose caption upscale segment vqa judge style-judge
FINE := edges pose
LATER := normals lineart scribble

.PHONY: pocket pocket-eval picture
pocket: $(FINE:%=$(DONE)/controlnet-%) $(LATER:%=$(DONE)/controlnet-%) $(READERS:%=$(DONE)/%) ## Train every pocket model from nothing

pocket-eval: $(READY) ## Measure every pocket model: pocket/QUALITY.md, pocket/samples.png
	$(PYTHON) -m pocket.evaluate

picture: $(READY) ## Draw the README's first picture, of what `make run` shows
	$(PYTHON) -m pocket.examples.picture

$(DATA): | $(READY)
	$(PYTHON) -m pocket.data

$(DONE)/%: | $(DATA)
	$(PYTHON) -m pocket.train_$(subst -,_,$*)
	@mkdir -p $(DONE) && touch $@

$(DONE)/controlnet-%: | $(DATA)
	$(PYTHON) -m pocket.train_controlnet $*
	@mkdir -p $(DONE) && touch $@

$(DONE)/vae: | $(DATA)
	$(PYTHON) -m pocket.train_vae both
	$(PYTHON) -m pocket.train_vae decoder
	@mkdir -p $(DONE) && touch $@

$(DONE)/diffusion: | $(DONE)/vae
$(DONE)/controlnet-together: | $(DONE)/diffusion
$(FINE:%=$(DONE)/controlnet-%): | $(DONE)/controlnet-together
$(DONE)/controlnet-normals: | $(DONE)/controlnet-together
$(DONE)/controlnet-lineart $(DONE)/controlnet-scribble: | $(DONE)/controlnet-edges
