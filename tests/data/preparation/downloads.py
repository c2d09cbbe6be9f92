"""Tiny downloads in the official layouts."""

from pathlib import Path

import cv2
import h5py
import numpy as np
from PIL import Image
from scipy.io import savemat

RNG = np.random.default_rng(0)


def photograph(height=12, width=16):
    small = RNG.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def put(path: Path, array, **options) -> Path:
    """Write an array as an image, or as .npy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(np.asarray(array)).save(path, **options)
    return path


def put_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def photographs(root: Path, count: int = 4) -> Path:
    """A folder of photographs for training, and one for validation."""
    for number in range(count):
        put(root / ("val" if number == 0 else "train") / f"{number}.jpg", photograph(64, 96))
    return root


def plain(value, height=12, width=16):
    return np.full((height, width), value, np.uint8)


def ade20k(root: Path) -> Path:
    top = root / "ADEChallengeData2016"
    for split, short, count in (("training", "train", 3), ("validation", "val", 2)):
        for number in range(1, count + 1):
            name = f"ADE_{short}_{number:08d}"
            put(top / f"images/{split}/{name}.jpg", photograph())
            mask = plain(0)
            mask[:, 4:] = number
            mask[:, 8:] = 150
            put(top / f"annotations/{split}/{name}.png", mask)
    return top


def ade20k_full(root: Path) -> Path:
    """Two images; classes 2978 (wall) and 300 (door), of which the second covers less."""
    top = root / "ADE20K_2021_17_01/images/ADE"
    for split, short in (("training", "train"), ("validation", "val")):
        folder = top / split / "urban" / "street"
        name = f"ADE_{short}_00000001"
        codes = np.zeros((12, 16, 3), np.uint8)
        for columns, value in ((slice(2, 12), 2978), (slice(12, 16), 300)):
            codes[:, columns] = value // 256 * 10, value % 256, 77
        put(folder / f"{name}.jpg", photograph())
        put(folder / f"{name}_seg.png", codes)
        put(folder / f"{name}_parts_1.png", codes)
        put(folder / name / f"instance_000_{name}.png", plain(255))
        objects = '[{"id": 0, "name": "wall", "name_ndx": 2978}, {"id": 1, "name": "door, gate", "name_ndx": 300}]'
        put_text(folder / f"{name}.json", f'{{"annotation": {{"object": {objects}}}}}')
    return root / "ADE20K_2021_17_01"


def cocostuff(root: Path) -> Path:
    for split, count in (("train", 3), ("val", 1)):
        for number in range(count):
            name = f"{139 + number:012d}"
            put(root / f"{split}2017/{name}.jpg", photograph())
            mask = plain(255)
            mask[:, 4:] = number
            mask[:, 8:] = 181
            put(root / f"stuffthingmaps/{split}2017/{name}.png", mask)
    put_text(root / "labels.txt", "0: unlabeled\n1: person\n2: bicycle\n")
    return root


def cityscapes(root: Path) -> Path:
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau"), ("test", "berlin")):
        name = f"{city}_000000_000019"
        put(root / f"leftImg8bit/{split}/{city}/{name}_leftImg8bit.png", photograph())
        ids = plain(7)
        ids[:, 4:] = 33
        ids[:, 12:] = 0
        for kind, array in (("labelIds", ids), ("instanceIds", ids), ("color", photograph())):
            put(root / f"gtFine/{split}/{city}/{name}_gtFine_{kind}.png", array)
    return root


def camvid_segnet(root: Path) -> Path:
    top = root / "CamVid"
    for split, frames in (("train", (1, 31)), ("val", (61,)), ("test", (91,))):
        names = [f"0001TP_{frame:06d}.png" for frame in frames]
        for name in names:
            put(top / split / name, photograph())
            ids = plain(3)
            ids[:, 4:] = 11
            put(top / f"{split}annot" / name, ids)
        lines = [f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}" for name in names]
        put_text(top / f"{split}.txt", "\n".join(lines) + "\n")
    return top


CAMVID_NAMES = ("0001TP_006690", "0001TP_008550", "0006R0_f00930", "0016E5_07959", "0016E5_00390", "Seq05VD_f00000")


def camvid_official(root: Path) -> Path:
    for name in CAMVID_NAMES:
        put(root / f"701_StillsRaw_full/{name}.png", photograph())
        colours = np.zeros((12, 16, 3), np.uint8)
        colours[:, 4:] = 128, 0, 192  # Lane markings are road.
        colours[:, 8:] = 128, 128, 128  # Sky.
        put(root / f"LabeledApproved_full/{name}_L.png", colours)
    return root


def facades_official(root: Path) -> Path:
    palette = [0, 0, 0, 0, 0, 170, 0, 0, 255, 0, 85, 255, 0, 170, 255]
    for folder, letter, count in (("base", "b", 9), ("extended", "x", 2)):
        for number in range(1, count + 1):
            name = f"cmp_{letter}{number:04d}"
            put(root / folder / f"{name}.jpg", photograph())
            mask = Image.fromarray(np.where(np.arange(16) < 8, 1, 3).astype(np.uint8) * np.ones((12, 1), np.uint8), "P")
            mask.putpalette(palette)
            mask.save(root / folder / f"{name}.png")
            put_text(root / folder / f"{name}.xml", "<object/>")
    return root


def facades_pix2pix(root: Path) -> Path:
    """Pairs whose right half is background and, from column 35 on, blind, with the fringe of a JPEG between them."""
    for split in ("train", "val", "test"):
        colours = np.zeros((64, 64, 3), np.uint8)
        colours[:, :35] = 0, 0, 170
        colours[:, 35:] = 255, 255, 0
        put(root / f"facades/{split}/1.jpg", np.hstack([photograph(64, 64), colours]), quality=75)
    return root / "facades"


def diode(root: Path) -> Path:
    for split, scenes, scan in (("train", "indoors", 1), ("train", "outdoor", 2), ("val", "indoors", 3)):
        stem = f"00019_0018{scan}_{scenes}_300_010"
        folder = root / f"{split}/{scenes}/scene_00019/scan_0018{scan}"
        put(folder / f"{stem}.png", photograph(24, 32))
        depth = np.full((24, 32, 1), 200.0 if scenes == "outdoor" else 2.0, np.float32)
        valid = np.ones((24, 32), np.uint8)
        valid[:3] = 0
        normals = np.zeros((24, 32, 3), np.float32)
        normals[3:] = 0, 0, 1
        put(folder / f"{stem}_depth.npy", depth)
        put(folder / f"{stem}_depth_mask.npy", valid)
        put(folder / f"{stem}_normal.npy", normals)
    return root


def nyu(root: Path, count: int = 4) -> Path:
    """The first half for training; pixel (row, column) of image i is (row, column, i) modulo 256; a tilted plane."""
    root.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:480, :640]
    with h5py.File(root / "nyu_depth_v2_labeled.mat", "w") as file:
        images = file.create_dataset("images", (count, 3, 640, 480), np.uint8)
        depths = file.create_dataset("depths", (count, 640, 480), np.float32)
        labels = file.create_dataset("labels", (count, 640, 480), np.uint16)
        for i in range(count):
            image = np.stack([rows % 256, columns % 256, np.full_like(rows, i)], axis=-1).astype(np.uint8)
            images[i] = image.transpose(2, 1, 0)
            depths[i] = (1 + rows / 240).T
            labels[i] = (columns // 160 * 298).T  # 0, 298, 596, 894
    numbers = np.arange(1, count + 1)[:, None]
    savemat(root / "splits.mat", dict(trainNdxs=numbers[: count // 2], testNdxs=numbers[count // 2 :]))
    savemat(root / "classMapping40.mat", dict(mapClass=(np.arange(894) % 40 + 1)[None]))
    return root
