#!/bin/sh
# Guess: image.save(name, exif=image.getexif()) keeps a photograph upright, in every format that holds EXIF, and leaves the EXIF as it was.
. "$(dirname "$0")/_room.sh"
room pillow==12.3.0 pillow-heif==1.8.1
look <<'PY'
import PIL
import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
exif = Image.Exif()
exif[0x0112] = 6
Image.new("RGB", (64, 32), (200, 60, 40)).save("phone.jpg", exif=exif)


def upright(name):
    with Image.open(name) as image:
        return ImageOps.exif_transpose(image).size


print(f"Pillow {PIL.__version__}, pillow-heif {pillow_heif.__version__}: a JPEG of 64x32 with orientation 6, saved with exif=image.getexif()")
print("most would guess: 32x64 wherever it is opened and turned, in whatever order the copies are made")
seen = {}
for first in ("jpg", "png", "webp", "avif", "heic"):
    image = Image.open("phone.jpg")
    image.save("first." + first, exif=image.getexif())
    image.save("second.jpg", exif=image.getexif())
    seen[first] = upright("first." + first), upright("second.jpg")
    print(f"seen: as {first} {seen[first][0]}; a JPEG saved after it {seen[first][1]}; orientation in the EXIF at hand: {image.getexif().get(0x0112)}")
image = Image.open("phone.jpg")
image.save("bytes.heic", exif=image.getexif().tobytes())
image.save("none.heic")
print(f"seen: as heic with the same EXIF as bytes {upright('bytes.heic')}, with none given {upright('none.heic')}")
print("The AVIF writer takes the orientation out of the EXIF that it is given; the HEIC writer sets it to 1 and turns nothing, unless it is bytes")
fine = all(seen[kind] == ((32, 64), (32, 64)) for kind in ("jpg", "png", "webp"))
raise SystemExit(not (fine and seen["avif"] == ((32, 64), (64, 32)) and seen["heic"][0] == (64, 32) and upright("bytes.heic") == (32, 64)))
PY
