#!/bin/sh
# Guess: who decodes an AVIF turns it as the file says: its rotation is part of the picture, not a note in EXIF.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 opencv-python-headless==5.0.0.93 imagecodecs==2026.3.6 av==18.1.0 pyvips==3.2.0 pyvips-binary==8.18.7 numpy==2.4.6
look <<'PY'
import av
import cv2
import imagecodecs
import numpy as np
import PIL
import pyvips
from PIL import Image, ImageOps

exif = Image.Exif()
exif[0x0112] = 6
picture = Image.new("RGB", (64, 32), (200, 60, 40))
for name in ("turned.avif", "turned.jpg", "turned.png", "turned.webp"):
    picture.save(name, exif=exif.tobytes())
data = open("turned.avif", "rb").read()
readers = {
    "Pillow and exif_transpose": lambda name: np.asarray(ImageOps.exif_transpose(Image.open(name))),
    "libvips and autorot": lambda name: pyvips.Image.new_from_file(name).autorot().numpy(),
    "OpenCV": cv2.imread,
    "imagecodecs": lambda name: imagecodecs.imread(name),
    "PyAV": lambda name: next(av.open(name).decode(video=0)).to_ndarray(format="rgb24"),
}
print(f"Pillow {PIL.__version__}, OpenCV {cv2.__version__}, imagecodecs {imagecodecs.__version__}, PyAV {av.__version__}, libvips {pyvips.version(0)}.{pyvips.version(1)}")
print("64x32 pixels with orientation 6, saved by Pillow: upright they are 64 rows of 32")
print("most would guess: OpenCV, which turns a JPEG, a PNG and a WebP, turns an AVIF; so does every decoder, since HEIF's rotation is no note")
kinds = ("avif", "jpg", "png", "webp")
seen = {who: {kind: read(f"turned.{kind}").shape[:2] == (64, 32) for kind in kinds} for who, read in readers.items()}
for who, found in seen.items():
    print(f"seen: {who}: " + ", ".join(f"{kind} {'upright' if right else 'on its side'}" for kind, right in found.items()))
print(f"The file says it by HEIF's rotation ({data.count(b'irot')} irot) and not by EXIF; what is set aside is said nowhere")
right = all(seen["Pillow and exif_transpose"].values()) and all(seen["libvips and autorot"].values())
raise SystemExit(not (right and seen["OpenCV"] == {"avif": False, "jpg": True, "png": True, "webp": True} and not seen["imagecodecs"]["avif"]))
PY
