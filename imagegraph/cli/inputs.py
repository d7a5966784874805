"""What a person writes behind `run NAME`, read by the graph's signature: photos, words, name=value."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagegraph.cli import documents, photos
from imagegraph.cli.photos import PIPED, Photo, is_there
from imagegraph.errors import InvalidInput, UnknownName
from imagegraph.image import Image
from imagegraph.ports import Port
from imagegraph.spec.interface import Interface

_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")  # of pictures
_NAMED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


@dataclass
class Request:
    """What is to be run.

    Attributes:
        values: by port, the same for every run.
        port: the port of the photos.
        photos: a run each; none is one run with the values alone.
        several: whether results go to a folder a photo: more than one was asked for, or may have been.
    """

    values: dict[str, Any] = field(default_factory=dict)
    port: str = ""
    photos: list[Photo] = field(default_factory=list)
    several: bool = False


def taken(interface: Interface) -> dict[str, Port]:
    """Returns the ports of all that a graph takes: its inputs, and priors instead of having them read."""
    priors = {name: interface.outputs[name] for name in sorted(interface.priors)}
    return {**interface.inputs, **{name: replace(port, required=False) for name, port in priors.items()}}


class Reader:
    """Reads the arguments of `run` for one graph.

    Attributes:
        ports: of all that it takes.
    """

    def __init__(self, graph: str, interface: Interface) -> None:
        """Takes the graph's name, and what it takes."""
        self._graph = graph
        self.ports = taken(interface)

    def read(self, words: Sequence[str], named: Mapping[str, Sequence[str]]) -> Request:
        """Reads the arguments.

        Args:
            words: those that are no options: photos, words, name=value.
            named: the values of options, by port.

        Raises:
            UnknownName: no input is called like this.
            InvalidInput: a value cannot be read, or could be for several inputs.
        """
        given = {name: list(texts) for name, texts in named.items()}
        said: list[str] = []
        for word in words:
            name, text = self._named(word)
            if name is None:
                said.append(word)
            else:
                given.setdefault(name, []).append(text)
        self._look_for_a_photo(given, said)
        if said:
            name = self._one_of(self.word_ports, " ".join(said))
            one = not self.ports[name].is_list and not any(" " in word for word in said)
            given.setdefault(name, []).extend([" ".join(said)] if one else said)
        request = Request()
        for name, texts in given.items():
            if [name] == self.photo_ports and self.ports[name].kind is Image:
                found = [photo for text in texts for photo in self._photos(text, name)]
                request.port, request.photos = name, list(dict.fromkeys(found))
                request.several = len(request.photos) > 1 or any(map(photos.names_many, texts))
            else:
                request.values[name] = self.value(name, texts)
        return request

    def _named(self, word: str) -> tuple[str | None, str]:
        """Returns the port that an argument is for, by its name or since it is a photo, and the value."""
        match = _NAMED.fullmatch(word)
        if match and (match[1] in self.ports or not photos.looks_like_one(word)):
            if match[1] not in self.ports:
                raise UnknownName("input", match[1], self.ports)
            return match[1], match[2]
        if word == PIPED and self._pipes_a_photo():
            return self._one_of(self.photo_ports, "photos"), word
        if word != PIPED and (photos.looks_like_one(word) or not self.word_ports):
            return self._one_of(self.photo_ports, word), word
        return None, word

    def _pipes_a_photo(self) -> bool:
        """Whether what is piped in is a photo: where one must be given it is, else it is looked at."""
        needed = any(self.ports[name].required for name in self.photo_ports)
        return needed or (bool(self.photo_ports) and self._piped.startswith(_BEGINNINGS))

    @functools.cached_property
    def _piped(self) -> bytes:
        return photos.read_pipe()

    @functools.cached_property
    def photo_ports(self) -> list[str]:
        """The ports that photos without a name may be for: those that need some, else the first."""
        return self._fitting(lambda port: port.holds_images, lambda port: port.holds_images)

    @functools.cached_property
    def word_ports(self) -> list[str]:
        """The ports that words without a name may be for: those that need some, else the first free text."""
        return self._fitting(
            lambda port: not port.holds_images, lambda port: port.kind is str and "enum" not in port.schema
        )

    def _fitting(self, fits: Callable[[Port], bool], speaks: Callable[[Port], bool]) -> list[str]:
        """Returns the required ports that fit, or else the first that speaks for itself, if any."""
        needed = [name for name, port in self.ports.items() if port.required and fits(port)]
        return needed or [name for name, port in self.ports.items() if speaks(port)][:1]

    def _one_of(self, names: Sequence[str], got: str) -> str:
        """Returns the only one of some ports.

        Raises:
            InvalidInput: there is none, or there are several.
        """
        if not names:
            raise InvalidInput("inputs", f"what '{self._graph}' takes ({', '.join(self.ports)})", got)
        if len(names) > 1:
            raise InvalidInput(" or ".join(names), "NAME=VALUE, to say which of them is meant", got)
        return names[0]

    def _photos(self, text: str, name: str) -> list[Photo]:
        return [Photo(PIPED, self._piped)] if text == PIPED else photos.find(text, name)

    def value(self, name: str, texts: Sequence[str]) -> Any:
        """Returns the value of a port, as it will be given to the graph.

        Raises:
            InvalidInput: it is none; or there are several where one is taken.
        """
        port = self.ports[name]
        if port.is_list:
            items = [item for text in texts for item in _items(text)]
        elif len(texts) > 1:
            raise InvalidInput(name, "one value", f"a second one, {texts[1]!r}")
        else:
            items = list(texts)
        read: list[Any]
        if port.holds_images:
            read = [photo.read(name) for text in items for photo in self._photos(text, name)]
        else:
            read = [self._said(port, item) for item in items]
        if not port.is_list and len(read) > 1:
            raise InvalidInput(name, "one picture", f"{len(read)} in {texts[0]}")
        value = read if port.is_list else read[0]
        if not port.holds_images:
            port.read(value)  # a wrong one shall neither wait for the weights nor fail for every photo
        return value

    def _said(self, port: Port, item: str) -> Any:
        """Returns what is said, piped in, or in a file."""
        if item == PIPED:
            return self._text(item)
        return documents.read(port, item) if documents.names_one(port, item) else item

    def _text(self, item: str) -> str:
        try:
            return self._piped.decode().strip()
        except UnicodeDecodeError as error:
            raise InvalidInput(item, "a picture, or text in UTF-8", self._piped) from error

    def _look_for_a_photo(self, given: Mapping[str, Any], said: Sequence[str]) -> None:
        """Says that a photo lacks where one must be: words may have been meant for its name."""
        if any(self.ports[name].holds_images for name in given):
            return  # priors, for one, may stand in for a photo
        for name in self.photo_ports:
            if not self.ports[name].required:
                continue
            got = f"no file of the name {' '.join(said)!r}" if said else "nothing"
            expected = "a photo: a file, a folder, a pattern of names, or - for what is piped in"
            raise InvalidInput(name, expected, got)


def _items(text: str) -> list[str]:
    """Returns what a list is said to have: a JSON list's items, or what is between commas.

    But a comma may be part of a file's name.
    """
    if is_there(Path(text)):
        return [text]
    if text.startswith("["):
        with contextlib.suppress(ValueError):
            return [one if isinstance(one, str) else json.dumps(one) for one in json.loads(text)]
    return text.split(",")
