"""Real photographs with free licences, for the super-resolution model alone.

The held-out photographs lie in the scikit-image and scikit-learn wheels, so that measuring needs no
download. The training photographs come from there too, and from Debian's
`lomiri-wallpapers-16.04` package, of which only those under CC0 or CC BY 4.0 are used.
"""

from dataclasses import dataclass
from pathlib import Path

import skimage.data
import sklearn.datasets
from PIL import Image

WHEELS = (
    Path(skimage.data.__file__).parent,
    Path(sklearn.datasets.__file__).parent / "images",
)
WALLPAPERS = Path("/usr/share/backgrounds")
WALLPAPER_SIDE = 1280  # wallpapers are reduced to this long side: it removes their JPEG artefacts


@dataclass(frozen=True)
class Photograph:
    """Where a photograph comes from.

    Args:
        file: Its file name, in a wheel or in the wallpaper package.
        author: Who took it.
        licence: Its licence, in SPDX words.
    """

    file: str
    author: str
    licence: str


HELD_OUT = (
    Photograph("astronaut.png", "NASA", "public domain"),
    Photograph("chelsea.png", "Stefan van der Walt", "CC0-1.0"),
    Photograph("coffee.png", "Rachel Michetti", "CC0-1.0"),
    Photograph("china.jpg", "danielbuechele", "CC-BY-2.0"),
)
TRAINING = (
    Photograph("rocket.jpg", "SpaceX", "public domain"),
    Photograph("camera.png", "Lav Varshney", "CC0-1.0"),
    Photograph("brick.png", "CC0Textures", "CC0-1.0"),
    Photograph("grass.png", "linolafett", "CC0-1.0"),
    Photograph("gravel.png", "CC0Textures", "CC0-1.0"),
    Photograph("flower.jpg", "vultilion", "CC-BY-2.0"),
    Photograph("aitzgorri_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", "CC-BY-4.0"),
    Photograph("friends_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", "CC-BY-4.0"),
    Photograph("life_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", "CC-BY-4.0"),
    Photograph("picosdeeuropa_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", "CC-BY-4.0"),
    Photograph("sunset_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", "CC-BY-4.0"),
    Photograph("Picture_0B_by_freespace.jpg", 'Trevor "Freespace"', "CC-BY-4.0"),
    Photograph("Picture_1A_by_freespace.jpg", 'Trevor "Freespace"', "CC-BY-4.0"),
    Photograph("Wine_by_Jakkub_Mede.jpg", "Jakub Mede", "CC-BY-4.0"),
    Photograph("seeding_by_Clements_Engelhardt.jpg", "Clemens Engelhardt", "CC0-1.0"),
)


def load(photograph: Photograph) -> Image.Image:
    """Load a photograph as RGB with even sides; wallpapers reduced to `WALLPAPER_SIDE`.

    Raises:
        FileNotFoundError: The wallpaper package is not installed.
    """
    paths = [folder / photograph.file for folder in (*WHEELS, WALLPAPERS)]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise FileNotFoundError(
            f"{photograph.file} is in none of {', '.join(str(p.parent) for p in paths)}: "
            "`apt-get install lomiri-wallpapers-16.04` brings the training photographs"
        )
    image = Image.open(path).convert("RGB")
    if path.parent == WALLPAPERS:
        image.thumbnail((WALLPAPER_SIDE, WALLPAPER_SIDE), Image.Resampling.LANCZOS)
    return image.crop((0, 0, image.width // 2 * 2, image.height // 2 * 2))


def halve(image: Image.Image) -> Image.Image:
    """Reduce a picture to half its size: the degradation that super-resolution undoes."""
    return image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
