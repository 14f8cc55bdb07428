"""Writes the pictures that image_test.cpp reads, with encoders that are not tern's. Needs Debian's python3-pil, which also
reads each of them again, where it can, and must find what was drawn, and libjpeg-turbo-progs for jpegtran.

Each is 20 wide and 12 high; pixel (x, y) is (10 x, 20 y, 255 - 5 (x + y)), or 10 x + 3 y where it is grey. Pictures of N
colours have colour i = (x + 2 y) mod N: (17 i, 255 - 17 i, 7 i), or the grey of i / (N - 1).
"""
import struct
import subprocess
import zlib
from pathlib import Path

from PIL import Image, ImageOps

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


def check(name, expected, most=0):
    """PIL finds these pixels in the file, up to a difference."""
    with Image.open(here / name) as image:
        found = ImageOps.exif_transpose(image).convert("RGB")
    worst = max(abs(a - b) for p, q in zip(found.getdata(), expected.convert("RGB").getdata()) for a, b in zip(p, q))
    assert found.size == expected.size and worst <= most, (name, worst)


# PNG: every type, depth and order of pixels.
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rows_of(values, depth):
    """Rows of tuples of `depth` bits as bytes, each behind its filter, by turns none, and the difference from above."""
    bytes_of = []
    for row in values:
        flat = [v for pixel in row for v in pixel]
        if depth == 16:
            bytes_of.append(b"".join(struct.pack(">H", v) for v in flat))
        else:
            bits = "".join(format(v, f"0{depth}b") for v in flat)
            bits += "0" * (-len(bits) % 8)
            bytes_of.append(bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)))
    out = b""
    for i, row in enumerate(bytes_of):
        up = i % 2 == 1
        out += bytes([2 if up else 0]) + (bytes((a - b) & 255 for a, b in zip(row, bytes_of[i - 1])) if up else row)
    return out


def png(name, kind, depth, pixel, more=b"", interlaced=False):
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b"".join(
        rows_of([[pixel(x, y) for x in range(x0, width, dx)] for y in range(y0, height, dy)], depth)
        for x0, y0, dx, dy in passes)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    packed = zlib.compress(data, 9)
    (here / name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", packed[:40]) +
                              chunk(b"IDAT", packed[40:]) + chunk(b"IEND", b""))


def index(x, y, n):
    return (x + 2 * y) % n


def colour(i):
    return 17 * i, 255 - 17 * i, 7 * i


def of_colours(n, pixel):
    image = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            image.putpixel((x, y), pixel(index(x, y, n)))
    return image


def g(x, y):
    return 10 * x + 3 * y


def c(x, y):
    return 10 * x, 20 * y, 255 - 5 * (x + y)


def wide(v, low):
    return 256 * v + low


for depth in 1, 2, 4:
    n = 2**depth
    png(f"grey{depth}.png", 0, depth, lambda x, y: (index(x, y, n),))
    check(f"grey{depth}.png", of_colours(n, lambda i: (255 * i // (n - 1),) * 3))
    n -= depth > 1  # one less than there could be
    colours = b"".join(bytes(colour(i)) for i in range(n))
    png(f"palette{depth}.png", 3, depth, lambda x, y: (index(x, y, n),), chunk(b"PLTE", colours))
    check(f"palette{depth}.png", of_colours(n, colour))
    png(f"palette{depth}_interlaced.png", 3, depth, lambda x, y: (index(x, y, n),), chunk(b"PLTE", colours), True)
    check(f"palette{depth}_interlaced.png", of_colours(n, colour))
all_colours = b"".join(bytes(c(i % width, i // width)) for i in range(width * height))
png("palette8.png", 3, 8, lambda x, y: (width * y + x,), chunk(b"PLTE", all_colours) + chunk(b"tRNS", b"\0\x80\xff"))
png("grey16.png", 0, 16, lambda x, y: (wide(g(x, y), 255 - x),), chunk(b"tRNS", b"\0\0"))
png("grey_alpha.png", 4, 8, lambda x, y: (g(x, y), x))
png("grey_alpha16.png", 4, 16, lambda x, y: (wide(g(x, y), 200), 0))
png("rgb16.png", 2, 16, lambda x, y: tuple(wide(v, 250 - y) for v in c(x, y)))
png("rgb_key.png", 2, 8, c, chunk(b"tRNS", struct.pack(">HHH", *c(1, 1))))
png("alpha16.png", 6, 16, lambda x, y: tuple(wide(v, 130) for v in c(x, y)) + (0,))
png("alpha_interlaced.png", 6, 8, lambda x, y: c(x, y) + (0,), b"", True)
png("rgb16_interlaced.png", 2, 16, lambda x, y: tuple(wide(v, 0) for v in c(x, y)), b"", True)
png("grey_interlaced.png", 0, 8, lambda x, y: (g(x, y),), b"", True)
for name in "palette8", "rgb16", "rgb_key", "alpha16", "alpha_interlaced", "rgb16_interlaced":
    check(f"{name}.png", rgb)
for name in "grey_alpha", "grey_interlaced":
    check(f"{name}.png", grey)

# JPEG: sampled down, with restarts, four inks, and turned.
for name, options in {
        "sampled_down": {"subsampling": 2},
        "sampled_down_across": {"subsampling": 1},
        "sampled_down_progressive": {"subsampling": 2, "progressive": True},
        "optimised": {"subsampling": 0, "optimize": True},
}.items():
    rgb.save(here / f"{name}.jpg", quality=98, **options)
    check(f"{name}.jpg", rgb, 12)
(here / "scans.txt").write_text("0; 1; 2;")
for name, options in {"restarts": ["-restart", "1B"], "scans": ["-scans", here / "scans.txt"],
                      "bad/arithmetic": ["-arithmetic"]}.items():
    subprocess.run(["jpegtran", *options, "-outfile", here / f"{name}.jpg", here / "rgb.jpg"], check=True)
    check(f"{name}.jpg", rgb, 4)
(here / "scans.txt").unlink()
inks, stored = Image.new("CMYK", (width, height)), Image.new("CMYK", (width, height))
printed = Image.new("RGB", (width, height))
for y in range(height):
    for x in range(width):
        r, g_, b = c(x, y)
        key = 8 * y
        inks.putpixel((x, y), (255 - r, 255 - g_, 255 - b, key))
        printed.putpixel((x, y), tuple(round(v * (255 - key) / 255) for v in (r, g_, b)))
        luma = 0.299 * (255 - r) + 0.587 * (255 - g_) + 0.114 * (255 - b)
        blue, red = 128 + (255 - b - luma) / 1.772, 128 + (255 - r - luma) / 1.402
        stored.putpixel((x, y), (255 - round(luma), 255 - round(blue), 255 - round(red), key))
inks.save(here / "cmyk.jpg", quality=98)
check("cmyk.jpg", printed, 4)
stored.save(here / "ycck.jpg", quality=98)
bytes_of = (here / "ycck.jpg").read_bytes()
adobe = bytes_of.index(b"Adobe") + 11  # the transform: none, to become YCCK
assert bytes_of[adobe] == 0
(here / "ycck.jpg").write_bytes(bytes_of[:adobe] + b"\x02" + bytes_of[adobe + 1:])
check("ycck.jpg", printed, 6)
turns = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
         6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
(here / "turned").mkdir(exist_ok=True)
for orientation, turn in turns.items():
    turned = rgb if turn is None else rgb.transpose(turn)
    exif = Image.Exif()
    exif[0x10f] = "tern"
    exif[0x112] = orientation
    turned.save(here / f"turned/{orientation}.jpg", quality=98, subsampling=0, exif=exif)
    check(f"turned/{orientation}.jpg", rgb, 4)
    turned.save(here / f"turned/{orientation}.png", exif=exif)
    check(f"turned/{orientation}.png", rgb)


# BMP: every depth, kind of header and order of rows.
def bmp(name, bits, pixel, palette=b"", masks=(), header_size=40, compression=0, from_above=False, gap=0):
    rows = []
    for y in range(height):
        flat = "".join(format(pixel(x, y), f"0{bits}b") for x in range(width)) if bits < 8 else ""
        row = (bytes(int(flat[i:i + 8].ljust(8, "0"), 2) for i in range(0, len(flat), 8)) if bits < 8 else
               b"".join(pixel(x, y).to_bytes(bits // 8, "little") for x in range(width)))
        rows.append(row + b"\0" * (-len(row) % 4))
    pixels = b"".join(rows if from_above else reversed(rows))
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", header_size, width, -height if from_above else height, 1, bits, compression,
                             len(pixels), 2835, 2835, len(palette) // 4, 0)
        header += b"".join(struct.pack("<I", mask) for mask in masks)
        header = header.ljust(max(header_size, len(header)), b"\0")
    start = 14 + len(header) + len(palette) + gap
    (here / name).write_bytes(struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start) + header + palette +
                              b"\xee" * gap + pixels)


def bgr(colours, end=b"\0"):
    return b"".join(bytes(reversed(one)) + end for one in colours)


def packed(x, y):
    r, g_, b = c(x, y)
    return r << 16 | g_ << 8 | b


bmp("palette1.bmp", 1, lambda x, y: index(x, y, 2), bgr(colour(i) for i in range(2)))
bmp("palette4.bmp", 4, lambda x, y: index(x, y, 15), bgr(colour(i) for i in range(15)), gap=6)
bmp("palette4_os2.bmp", 4, lambda x, y: index(x, y, 15), bgr((colour(i) for i in range(15)), b""), header_size=12)
bmp("palette8.bmp", 8, lambda x, y: width * y + x, bgr(c(i % width, i // width) for i in range(width * height)))
bmp("rgb_os2.bmp", 24, packed, header_size=12)
bmp("rgb_from_above.bmp", 24, packed, from_above=True, gap=2)
bmp("rgb32.bmp", 32, packed)
bmp("rgb32_v5.bmp", 32, lambda x, y: packed(x, y) << 8, masks=(0xff000000, 0xff0000, 0xff00, 0), header_size=124,
    compression=3)
bmp("rgb32_v4.bmp", 32, packed, header_size=108, from_above=True)
bmp("rgb555.bmp", 16, lambda x, y: x << 10 | 2 * y << 5 | 31 - x)
bmp("rgb565.bmp", 16, lambda x, y: x << 11 | 4 * y << 5 | 31 - x, masks=(0xf800, 0x7e0, 0x1f), compression=3)
for name in "palette8", "rgb_os2", "rgb_from_above", "rgb32", "rgb32_v5":
    check(f"{name}.bmp", rgb)
for name in "palette4", "palette4_os2":
    check(f"{name}.bmp", of_colours(15, colour))
check("palette1.bmp", of_colours(2, colour))
