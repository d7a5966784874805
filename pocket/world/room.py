"""The camera, lamp, floor and wall of a scene."""

import numpy as np

from pocket.world.kinds import FOCAL, SIZE, Array


class Room:
    """Camera, lamp, floor and wall of one scene."""

    def __init__(self, rng: np.random.Generator) -> None:
        height = rng.uniform(1.5, 2.6)
        pitch = np.arctan2(height - rng.uniform(0.45, 0.7), 4.8)
        self.eye = np.array([0, height, 0], np.float32)
        self.up = np.array([0, np.cos(pitch), np.sin(pitch)], np.float32)
        self.forward = np.array([0, -np.sin(pitch), np.cos(pitch)], np.float32)
        self.wall_z = rng.uniform(7.0, 8.5)
        self.lamp = np.array(
            [rng.choice([-1, 1]) * rng.uniform(1.5, 3.5), rng.uniform(5, 7), rng.uniform(0, 2.5)],
            np.float32,
        )
        self.ambient = rng.uniform(0.46, 0.58)
        self.surfaces = (
            Surface(rng, ("plain", "stripes", "panels")),
            Surface(rng, ("plain", "checker", "planks")),
        )

    def rays(self, x: Array, y: Array) -> Array:
        """Return ray directions [3, n] through image points."""
        u, v = (x - (SIZE - 1) / 2) / FOCAL, ((SIZE - 1) / 2 - y) / FOCAL
        return np.stack([u, v * self.up[1] + self.forward[1], v * self.up[2] + self.forward[2]])

    def project(self, points: Array) -> Array:
        """Return x, y in px and distance along the axis for world points [n, 3]."""
        q = points - self.eye
        z = q @ self.forward
        x = FOCAL * q[:, 0] / z + (SIZE - 1) / 2
        return np.stack([x, (SIZE - 1) / 2 - FOCAL * (q @ self.up) / z, z], axis=1)


class Surface:
    """A pale colour with a pattern of low contrast, so that Canny sees objects and not texture."""

    def __init__(self, rng: np.random.Generator, patterns: tuple[str, ...]) -> None:
        self.pattern = str(rng.choice(patterns))
        grey = rng.uniform(0.5, 0.8)
        self.colour = (grey * (1 + rng.uniform(-0.09, 0.09, 3))).astype(np.float32)
        self.angle, self.period = rng.uniform(0, np.pi), rng.uniform(0.7, 1.3)
        self.tones = rng.uniform(-1, 1, 16).astype(np.float32)
        self.waves = rng.normal(0, 3.0, (3, 3)).astype(np.float32)
        self.contrast = rng.uniform(0.02, 0.045)

    def albedo(self, u: Array, v: Array) -> Array:
        """Return colours [3, n] at surface coordinates."""
        tone = np.zeros_like(u)
        for wave_u, wave_v, phase in self.waves:  # grain
            tone += 0.15 * np.sin(wave_u * u + wave_v * v + phase)
        if self.pattern == "stripes":
            tone += np.clip(4 * np.sin(2 * np.pi * u / self.period), -1, 1)
        elif self.pattern == "panels":
            tone += self.tones[(u // self.period).astype(int) % 16]
        elif self.pattern != "plain":
            cos, sin = float(np.cos(self.angle)), float(np.sin(self.angle))
            u, v = cos * u + sin * v, cos * v - sin * u
            if self.pattern == "checker":
                across = np.sin(np.pi * u / self.period) * np.sin(np.pi * v / self.period)
                tone += np.clip(8 * across, -1, 1)
            else:
                tone += self.tones[(2 * u // self.period).astype(int) % 16]
        return self.colour[:, None] * (1 + self.contrast * tone)
