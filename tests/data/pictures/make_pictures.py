"""Writes the pictures that image_test.cpp reads, with an encoder that is not stb's. Needs Debian's python3-pil.

Each is 20 wide and 12 high; pixel (x, y) is (10 x, 20 y, 255 - 5 (x + y)), or 10 x + 3 y where it is grey.
"""
from pathlib import Path

from PIL import Image

here = Path(__file__).parent
width, height = 20, 12
rgb = Image.new("RGB", (width, height))
grey = Image.new("L", (width, height))
for y in range(height):
    for x in range(width):
        rgb.putpixel((x, y), (10 * x, 20 * y, 255 - 5 * (x + y)))
        grey.putpixel((x, y), 10 * x + 3 * y)
alpha = rgb.copy()
alpha.putalpha(grey)

rgb.save(here / "rgb.png")
rgb.save(here / "rgb.bmp")
rgb.save(here / "rgb.jpg", quality=98, subsampling=0)
rgb.save(here / "progressive.jpg", quality=98, subsampling=0, progressive=True)
alpha.save(here / "alpha.png")
grey.save(here / "grey.png")
grey.save(here / "grey.jpg", quality=98)
