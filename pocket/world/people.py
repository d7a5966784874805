"""Jointed people: bodies of capsules in six poses, with COCO's key points."""

from dataclasses import dataclass

import numpy as np

from pocket.world.kinds import COLOURS, KEYPOINTS, Array

SKIN = ((240, 200, 170), (222, 170, 135), (165, 112, 80), (105, 68, 48))
HAIR = ((40, 28, 22), (95, 60, 30), (70, 70, 75))
DARK = (45, 42, 48)


@dataclass(frozen=True)
class Person:
    """A body of capsules in its own frame: height 1, feet at the origin, face towards -z."""

    joints: Array  # [17, 3] COCO order
    start: Array  # [parts, 3]
    end: Array  # [parts, 3]
    radius: Array  # [parts]
    tint: Array  # [parts, 3] in 0..1
    hair: Array  # [3] in 0..1


def pose_person(rng: np.random.Generator, colour: str) -> Person:
    """Build a person in one of six poses, with jitter in every joint."""
    kind = rng.choice(["standing", "arms up", "waving", "arms out", "on hips", "walking"])
    # Angle of the upper arm from hanging down, and how much further the forearm turns.
    lift, bend = rng.uniform(0.12, 0.4, 2), rng.uniform(-0.1, 0.3, 2)
    stride, swing = 0.0, np.zeros(2)
    if kind == "arms up":
        lift, bend = rng.uniform(2.1, 2.9, 2), rng.uniform(-0.3, 0.3, 2)
    elif kind == "arms out":
        lift, bend = rng.uniform(1.2, 1.8, 2), rng.uniform(-0.3, 0.3, 2)
    elif kind == "on hips":
        lift, bend = rng.uniform(0.7, 0.9, 2), rng.uniform(-1.9, -1.5, 2)
    elif kind == "waving":
        arm = rng.integers(2)
        lift[arm], bend[arm] = rng.uniform(1.3, 1.9), rng.uniform(0.6, 1.3)
    elif kind == "walking":
        stride = rng.choice([-1, 1]) * rng.uniform(0.3, 0.6)
        swing = np.array([-1.2, 1.2]) * stride
    spread = rng.uniform(0.02, 0.22)

    def limb(angle: float, side: int, forward: float) -> Array:
        v = np.array([side * np.sin(angle), -np.cos(angle), -forward])
        return v / np.linalg.norm(v)

    ahead = np.array([0, 0, -1])
    parts: list[tuple[Array, Array, float, Array]] = []
    clothes = np.array(COLOURS[colour]) / 255
    trousers, shoe = clothes * 0.72, np.array(DARK) / 255
    skin = np.array(SKIN[rng.integers(len(SKIN))]) / 255
    joints = {"nose": np.array([0, 0.86, -0.125])}
    for i, (name, side) in enumerate((("left", 1), ("right", -1))):
        joints[f"{name}_eye"] = np.array([side * 0.05, 0.895, -0.105])
        joints[f"{name}_ear"] = np.array([side * 0.12, 0.875, 0])
        shoulder = np.array([side * 0.125, 0.675, 0])
        elbow = shoulder + 0.155 * limb(lift[i], side, swing[i])
        wrist = elbow + 0.15 * limb(lift[i] + bend[i], side, swing[i] + 0.1)
        hip = np.array([side * 0.062, 0.43, 0])
        knee = hip + 0.19 * limb(spread, side, (-stride, stride)[i])
        ankle = knee + 0.19 * limb(spread * 0.6, side, 0.4 * (-stride, stride)[i])
        joints |= {f"{name}_shoulder": shoulder, f"{name}_elbow": elbow, f"{name}_wrist": wrist}
        joints |= {f"{name}_hip": hip, f"{name}_knee": knee, f"{name}_ankle": ankle}
        hand = wrist + 0.2 * (wrist - elbow)
        parts += [(shoulder, elbow, 0.047, clothes), (elbow, wrist, 0.04, clothes)]
        parts += [(wrist, hand, 0.044, skin), (hip, knee, 0.062, trousers)]
        parts += [(knee, ankle, 0.05, trousers)]
        parts += [(ankle + 0.02 * ahead, ankle + 0.06 * ahead, 0.046, shoe)]
    parts += [
        (np.array([-0.09, 0.665, 0]), np.array([0.09, 0.665, 0]), 0.07, clothes),
        (np.array([0, 0.45, 0]), np.array([0, 0.62, 0]), 0.105, clothes),
        (np.array([0, 0.865, 0]), np.array([0, 0.885, 0]), 0.125, skin),  # the head comes last
    ]
    foot = np.array([0, 0.046 - min(joints[f"{side}_ankle"][1] for side in ("left", "right")), 0])
    start, end, radius, tint = (np.array(a, np.float32) for a in zip(*parts, strict=True))
    return Person(
        joints=np.array([joints[name] + foot for name in KEYPOINTS], np.float32),
        start=(start + foot).astype(np.float32),
        end=(end + foot).astype(np.float32),
        radius=radius,
        tint=tint,
        hair=np.array(HAIR[rng.integers(len(HAIR))], np.float32) / 255,
    )
