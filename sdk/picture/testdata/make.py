"""Writes the pictures beside it and expected.json: what Pillow makes of each, as size and base64 of its deflated RGB bytes.

The rule is: turn by EXIF orientation, composite on white what has transparency, convert to RGB; of 16-bit grey, which
Pillow would clip at 255, the upper byte. Run with Pillow 13, numpy and imagecodecs: python make.py
"""

import base64
import io
import json
import pathlib
import struct
import zlib

import imagecodecs
import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
expected = {}


def scene(w, h, channels, top=255):
    """Smooth ramps with hard coloured edges: chroma that changes quickly, which is where upsampling shows."""
    y, x = np.mgrid[0:h, 0:w]
    out = np.zeros((h, w, channels), np.int64)
    for c in range(channels):
        v = (x * (c + 2) * 5 + y * (7 - 2 * c)) % 256
        v = np.where((x // 5 + y // 7 + c) % 3 == 0, 255 - v, v)
        out[..., c] = np.where((x - w / 2) ** 2 + (y - h / 2) ** 2 < (min(w, h) / 3) ** 2, (40 + 90 * c) % 256, v)
    return (out * top // 255).astype(np.uint8 if top < 256 else np.uint16)


def picture(w, h, mode):
    if mode == "P":
        return picture(w, h, "RGB").quantize(13)
    if mode == "1":
        return picture(w, h, "L").convert("1")
    pixels = scene(w, h, len(mode))
    return Image.fromarray(pixels[..., 0] if len(mode) == 1 else pixels, mode)


def shown(data):
    m = Image.open(io.BytesIO(data))
    m.seek(0)
    if m.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(m) >> 8).astype(np.uint8)).convert("RGB")
    m = ImageOps.exif_transpose(m)
    if m.mode in ("RGBA", "LA", "PA") or "transparency" in m.info:
        m = m.convert("RGBA")
        white = Image.new("RGB", m.size, (255, 255, 255))
        white.paste(m, mask=m.split()[3])
        return white
    return m.convert("RGB")


def add(name, data):
    (HERE / name).write_bytes(data)
    m = shown(data)
    expected[name] = {"width": m.width, "height": m.height, "rgb": base64.b64encode(zlib.compress(m.tobytes(), 9)).decode()}


def saved(m, fmt, **kw):
    b = io.BytesIO()
    m.save(b, fmt, **kw)
    return b.getvalue()


def exif(n):
    e = Image.Exif()
    e[0x0112] = n
    return e


def png(w, h, depth, kind, rows, *before):
    """A PNG that Pillow does not write: 16-bit samples, tRNS of grey and colour."""
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    raw = b"".join(b"\0" + r.tobytes() for r in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, 0))
            + b"".join(chunk(*c) for c in before) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def pngs():
    for mode in ("RGB", "RGBA", "L", "LA", "1", "P"):
        add(f"{mode.lower()}.png", saved(picture(23, 17, mode), "png"))
    add("p2.png", saved(picture(23, 17, "RGB").quantize(4), "png", bits=2))
    p = picture(23, 17, "P")
    add("p-transparent.png", saved(p, "png", transparency=bytes([0, 128, 255, 30, 77])))
    add("orientation6.png", saved(picture(23, 17, "RGB"), "png", exif=exif(6)))
    for kind, channels, name in ((0, 1, "l16"), (2, 3, "rgb16"), (4, 2, "la16"), (6, 4, "rgba16")):
        add(f"{name}.png", png(23, 17, 16, kind, scene(23, 17, channels, 65535).astype(">u2")))
    s = scene(23, 17, 3)
    add("l-key.png", png(23, 17, 8, 0, s[..., 0], (b"tRNS", struct.pack(">H", int(s[8, 11, 0])))))
    add("rgb-key.png", png(23, 17, 8, 2, s, (b"tRNS", struct.pack(">HHH", *map(int, s[8, 11])))))


def frame_byte(data, component, value):
    """Changes the sampling factors of a component in the frame header."""
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    data = bytearray(data)
    data[at + 11 + 3 * component] = value
    return bytes(data)


def jpegs():
    add("l.jpg", saved(picture(37, 29, "L"), "jpeg", quality=80))
    for sub, name in ((0, "444"), (1, "422"), (2, "420")):
        for w, h in ((37, 29), (64, 48), (1, 1), (3, 5), (5, 4), (16, 2)):
            add(f"{name}-{w}x{h}.jpg", saved(picture(w, h, "RGB"), "jpeg", quality=90 if w < 64 else 60, subsampling=sub))
    # planes that are flat within each block survive any inverse DCT, so that everything behind it can be compared exactly
    r = np.random.default_rng(7).integers(0, 256, (4, 5, 3), np.uint8)
    flat = Image.fromarray(r.repeat(16, 0).repeat(16, 1)[:50, :75])
    for sub, name in ((0, "444"), (1, "422"), (2, "420")):
        add(f"blocks-{name}.jpg", saved(flat, "jpeg", quality=95, subsampling=sub))
    flat = flat.crop((0, 0, 64, 32))
    add("blocks-440.jpg", frame_byte(saved(flat, "jpeg", quality=95, subsampling=1), 0, 0x12))
    add("blocks-411.jpg", frame_byte(saved(flat, "jpeg", quality=95, subsampling=2), 0, 0x41))
    inks = np.random.default_rng(8).integers(0, 256, (4, 5, 4), np.uint8).repeat(16, 0).repeat(16, 1)[:50, :75].copy()
    add("blocks-cmyk.jpg", saved(Image.fromarray(inks, "CMYK"), "jpeg", quality=95))
    for sub in ("444", "420"):
        add(f"blocks-ycck-{sub}.jpg", imagecodecs.jpeg8_encode(inks, level=95, colorspace="CMYK", outcolorspace="YCCK",
                                                               subsampling=sub))
    add("420-progressive.jpg", saved(picture(45, 50, "RGB"), "jpeg", quality=85, subsampling=2, progressive=True))
    add("444-restart.jpg", saved(picture(45, 50, "RGB"), "jpeg", quality=95, subsampling=0, restart_marker_blocks=2))
    add("rgb.jpg", saved(picture(37, 29, "RGB"), "jpeg", quality=90, keep_rgb=True))
    # an MCU of 4:2:2 has as many blocks as one of 4:4:0, and 4:2:0 as 4:1:1: with the factors changed the file is valid
    add("440-32x32.jpg", frame_byte(saved(picture(32, 32, "RGB"), "jpeg", quality=90, subsampling=1), 0, 0x12))
    add("411-32x32.jpg", frame_byte(saved(picture(32, 32, "RGB"), "jpeg", quality=90, subsampling=2), 0, 0x41))
    for n in range(1, 9):
        add(f"orientation{n}.jpg", saved(picture(24, 16, "RGB"), "jpeg", quality=75, exif=exif(n)))
    cmyk = saved(picture(37, 29, "CMYK"), "jpeg", quality=90)
    add("cmyk.jpg", cmyk)
    at = cmyk.find(b"\xff\xee")
    add("cmyk-unmarked.jpg", cmyk[:at] + cmyk[at + 16:])
    add("ycck.jpg", cmyk[:at + 15] + b"\2" + cmyk[at + 16:])
    add("ycck-420.jpg", imagecodecs.jpeg8_encode(scene(37, 29, 4), level=90, colorspace="CMYK", outcolorspace="YCCK",
                                                 subsampling="420"))


def webps():
    for w, h in ((37, 29), (64, 48), (1, 1), (2, 2), (3, 5), (16, 1), (1, 16)):
        add(f"lossy-{w}x{h}.webp", saved(picture(w, h, "RGB"), "webp", quality=80))
    add("lossy-alpha.webp", saved(picture(37, 30, "RGBA"), "webp", quality=70))
    add("lossless.webp", saved(picture(37, 29, "RGB"), "webp", lossless=True))
    add("lossless-alpha.webp", saved(picture(37, 29, "RGBA"), "webp", lossless=True))
    add("orientation8.webp", saved(picture(24, 16, "RGB"), "webp", quality=75, exif=exif(8)))
    frames = [picture(24, 16, "RGB"), picture(24, 16, "RGB").rotate(180)]
    add("animated.webp", saved(frames[0], "webp", quality=75, save_all=True, append_images=frames[1:]))


def gifs():
    p = picture(23, 17, "P")
    add("p.gif", saved(p, "gif"))
    add("transparent.gif", saved(p, "gif", transparency=5))
    add("animated.gif", saved(p, "gif", save_all=True, append_images=[p.rotate(180)]))
    add("interlaced.gif", saved(p, "gif", interlace=1))
    for name, kw in (("offset.gif", {}), ("offset-transparent.gif", {"transparency": 5})):
        data = bytearray(saved(p, "gif", **kw))
        at = data.index(b"\x2c\0\0\0\0")  # the image descriptor: left, top
        data[at + 1], data[at + 3] = 4, 6
        data[6:10] = struct.pack("<HH", 30, 25)  # the canvas
        add(name, bytes(data))


def bmps():
    for mode in ("RGB", "RGBA", "L", "1", "P"):
        add(f"{mode.lower()}.bmp", saved(picture(23, 17, mode), "bmp"))


pngs(), jpegs(), webps(), gifs(), bmps()
(HERE / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")
