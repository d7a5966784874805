"""Takes the GPU's half out of torch's CUDA build: `python without_cuda.py SITE_PACKAGES`.

Torch's libraries ask for NVIDIA's when they are loaded, though without a GPU nothing in those is ever called.
Here they stop asking for what is not installed: its functions become optional symbols, which are null where
nobody has them. The GPU's own machine code becomes zeros, which cost no room in a registry.
"""

import sys
from pathlib import Path

import lief

NVIDIA = ("libcu", "libnccl", "libnv")


def cut(path: Path, installed: set[str]) -> None:
    """Rewrites a library that asks for one of NVIDIA's that is not installed; leaves others alone."""
    library = lief.parse(path)
    missing = [name for name in library.libraries if name.startswith(NVIDIA) and name not in installed]
    if not missing:
        return
    for name in missing:
        library.remove_library(name)
        if library.find_version_requirement(name):
            library.remove_version_requirement(name)
    for symbol in library.dynamic_symbols:
        if symbol.shndx == 0 and symbol.binding == lief.ELF.Symbol.BINDING.GLOBAL:
            symbol.binding = lief.ELF.Symbol.BINDING.WEAK
    library.write(str(path))
    if library.has_section(".nv_fatbin"):
        kernels = lief.parse(path).get_section(".nv_fatbin")  # where it is now
        with path.open("r+b") as file:
            file.seek(kernels.file_offset)
            file.write(bytes(kernels.size))
    print(f"{path.name} does without {', '.join(missing)}")


if __name__ == "__main__":
    site_packages = Path(sys.argv[1])
    installed = {path.name for path in site_packages.rglob("*.so*")}
    for path in sorted(site_packages.glob("torch/lib/*.so*")):
        cut(path, installed)
