#!/bin/sh
# Guess: what Pillow saves as JPEG XL is what the image shows.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 pillow-jxl-plugin==1.3.8 numpy==2.4.6
look <<'PY'
from importlib.metadata import version

import numpy as np
import PIL
import pillow_jxl
from PIL import Image, ImageDraw, ImageOps

exif = Image.Exif()
exif[0x0112] = 6
Image.new("RGB", (64, 32), (200, 60, 40)).save("phone.jpg", exif=exif, quality=95)


def painted(image):
    ImageDraw.Draw(image).rectangle((0, 0, 64, 64), fill=(0, 0, 0))


changes = {
    "painted black": painted,
    "pasted over in black": lambda image: image.paste((0, 0, 0), (0, 0, 64, 64)),
    "turned by exif_transpose(in_place=True)": lambda image: ImageOps.exif_transpose(image, in_place=True),
    "reduced by thumbnail((16, 16))": lambda image: image.thumbnail((16, 16)),
}
print(f"pillow-jxl-plugin {version('pillow-jxl-plugin')}, Pillow {PIL.__version__}: a JPEG of 64x32 opened, changed in place, saved as .jxl")
print("most would guess: what was done to it is in the file, as in a PNG")
seen = []
for what, change in changes.items():
    image = Image.open("phone.jpg")
    change(image)
    image.save("out.jxl")
    image.save("out.png")
    found = {kind: (Image.open("out." + kind).size, int(np.asarray(Image.open("out." + kind))[0, 0, 0])) for kind in ("png", "jxl")}
    seen.append(found["jxl"][0] == (64, 32) and found["jxl"][1] > 190 and found["png"] != found["jxl"])
    print(f"seen: {what}: PNG {found['png'][0]} with red {found['png'][1]}, JPEG XL {found['jxl'][0]} with red {found['jxl'][1]}")
image = Image.open("phone.jpg")
painted(image)
image.save("out.jxl", lossless_jpeg=False)
plain = int(np.asarray(Image.open("out.jxl"))[0, 0, 0])
print(f"seen: painted black and saved with lossless_jpeg=False: red {plain}")
print("The JPEG is read from its path once more and packed whole, while `format` still says JPEG; a UserWarning says that it is packed, not what is lost")
raise SystemExit(not (all(seen) and plain < 20))
PY
