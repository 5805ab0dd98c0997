#!/usr/bin/env python3
"""A second reading of docs/protocol.md, for tests/reference.rs: `python3 model.py > values.txt`.

Written from the page alone, with other libraries; slow and not constant-time. Needs `cryptography`.
"""
import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305


# --- CBOR and hashes -------------------------------------------------------------------------------------------------
def head(major, n):
    for code, size in ((24, 1), (25, 2), (26, 4)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")
    raise ValueError(n)


def array(*items):
    out = head(4, len(items))
    for item in items:
        if isinstance(item, int):
            out += head(0, item)
        elif isinstance(item, str):
            out += head(3, len(item)) + item.encode()
        else:
            out += head(2, len(item)) + item
    return out


def ctx(label, *items):
    return array("SGA1 " + label, *items)


def sha(x):
    return hashlib.sha256(x).digest()


def h(x):
    return sha(x)[:16]


def mac(key, x):
    return hmac.new(key, x, hashlib.sha256).digest()


def kdf(ikm, salt, info, length):
    prk, out, block = mac(salt, ikm), b"", b""
    while len(out) < length:
        block = mac(prk, block + info + bytes([len(out) // 32 + 1]))
        out += block
    return out[:length]


def f(key, label, *items):
    return mac(kdf(key, b"", ctx(label), 32), ctx(label, *items))[:16]


def f8(key, label, *items):
    return f(key, label, *items)[:8]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


# --- suites ----------------------------------------------------------------------------------------------------------
KEY, NONCE = {1: 16, 2: 16, 3: 32}, {1: 13, 2: 13, 3: 12}


def aead(suite, key, nonce, aad, text):
    cipher = ChaCha20Poly1305(key) if suite == 3 else AESCCM(key, tag_length=8 * suite)
    return cipher.encrypt(nonce, text, aad)


def seal(suite, ikm, salt, c, text):
    okm = kdf(ikm, salt, c, KEY[suite] + NONCE[suite])
    return aead(suite, okm[: KEY[suite]], okm[KEY[suite] :], c, text)


# --- groups ----------------------------------------------------------------------------------------------------------
def scaled_e(bits):
    term = total = 1 << bits + 64
    n = 0
    while term:
        n += 1
        term //= n
        total += term
    return total >> 64


class Ffdhe:
    def __init__(self, bits, x, exponent_len):
        self.p = 2**bits - 2 ** (bits - 64) + (scaled_e(bits - 130) + x) * 2**64 - 1
        self.len, self.exponent_len = bits // 8, exponent_len

    def scalar(self, seed):
        n = 8 * self.exponent_len
        return int.from_bytes(kdf(seed, b"", ctx("scalar"), n // 8), "big") | 1 << n - 1

    def exp(self, element, seed):
        return pow(int.from_bytes(element, "big"), self.scalar(seed), self.p).to_bytes(self.len, "big")

    def base(self, seed):
        return self.exp((2).to_bytes(self.len, "big"), seed)


P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def even(x):
    return P - x if x % P & 1 else x % P


def sqrt_ratio(u, v):
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    ok = check in (u % P, -u % P)
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return ok, even(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, (-1 - D) % P)[1]


class Ristretto:
    len = 32

    def decode(self, b):
        s = int.from_bytes(b, "little")
        assert s < P and s & 1 == 0
        u1, u2 = (1 - s * s) % P, (1 + s * s) % P
        v = (-D * u1 * u1 - u2 * u2) % P
        ok, inv = sqrt_ratio(1, v * u2 * u2 % P)
        dx = inv * u2 % P
        x, y = even(2 * s * dx % P), u1 * inv * dx * v % P
        assert ok and y and x * y % P & 1 == 0
        return x, y

    def encode(self, point):
        x, y = point
        z, t = 1, x * y % P
        u1, u2 = (z + y) * (z - y) % P, x * y % P
        inv = sqrt_ratio(1, u1 * u2 * u2 % P)[1]
        d1, d2 = inv * u1 % P, inv * u2 % P
        z_inv, d = d1 * d2 * t % P, d2
        if t * z_inv % P & 1:
            x, y, d = y * SQRT_M1 % P, x * SQRT_M1 % P, d1 * INVSQRT_A_MINUS_D % P
        if x * z_inv % P & 1:
            y = -y % P
        return even(d * (z - y) % P).to_bytes(32, "little")

    def add(self, a, b):
        k = D * a[0] * b[0] * a[1] * b[1] % P
        x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + k, -1, P)
        y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, -1, P)
        return x % P, y % P

    def exp(self, element, seed):
        n = int.from_bytes(kdf(seed, b"", ctx("scalar"), 64), "little") % L
        point, result = self.decode(element), (0, 1)
        while n:
            if n & 1:
                result = self.add(result, point)
            point, n = self.add(point, point), n >> 1
        return self.encode(result)

    def base(self, seed):
        y = 4 * pow(5, -1, P) % P
        x = sqrt_ratio(y * y - 1, (D * y * y + 1) % P)[1]
        return self.exp(self.encode((x, y)), seed)


GROUPS = {1: Ffdhe(2048, 560316, 32), 2: Ristretto(), 3: Ffdhe(3072, 2625351, 40)}


# --- the equations ---------------------------------------------------------------------------------------------------
def pk(group, public, e, c, text):
    enc, z = group.base(e), group.exp(public, e)
    return enc + aead(1, kdf(z, sha(enc + public), c, 16), bytes(13), c, text)


def trapdoor(group, public, r):
    e = kdf(r, b"", ctx("H1"), 32)
    enc = group.base(e)
    return enc + xor(r, kdf(group.exp(public, e), enc, ctx("H2"), 32))


def put(name, value):
    print(f"{name} = {value.hex()}")


def groups():
    seed = lambda n: bytes([n]) * 32  # noqa: E731
    for profile, group in GROUPS.items():
        public, n = group.base(seed(9)), group.base(seed(20))
        put(f"public {profile}", public)
        put(f"pk register {profile}", pk(group, public, seed(1), ctx("pk register", seed(5)), b"plain"))
        put(f"pk negotiate {profile}", pk(group, public, seed(1), ctx("pk negotiate"), b"plain"))
        if profile == 2:
            closed, r = b"", kdf(group.exp(public, seed(20)), n + public, ctx("H3"), 32)
        else:
            closed, r = trapdoor(group, public, seed(30)), seed(30)
        k_prime = kdf(group.exp(n, r), b"", ctx("K"), 32)
        put(f"half {profile}", n + closed + k_prime)
        put(f"y {profile}", group.exp(n, seed(60)))
        root = kdf(group.exp(n, seed(60)) + b"\x0a" * 16 + b"\x0b" * 16, seed(7), ctx("root", 0), 32)
        paired = kdf(group.exp(n, seed(60)) + b"\x0a" * 16 + b"\x0b" * 16 + seed(8), seed(7), ctx("root", 1), 32)
        put(f"root {profile}", root + paired)


K_D, K_T, TH = b"\x01" * 32, b"\x02" * 16, b"\x03" * 32
N_I, N_G, N_J, HANDLE, MASKED = b"\x11" * 8, b"\x12" * 8, b"\x13" * 8, b"\x14" * 4, b"\x15" * 16
LIFE = bytes([8]) * 8
RUN, ROLE, BIG = 70_000, 1, b"\x16" * 300


def tags():
    put("pin", h(array(1, 2, b"PK")))
    put("enrol", f(b"secret", "enrol", TH, K_D, 3, 15, b"dev"))
    put("rotate", f(K_D, "rotate", TH, K_D, 3, 15, b"dev"))
    put("A1 mask", xor(MASKED, kdf(K_D, N_I, ctx("A1 pad"), 16)))
    put("A3 mask", xor(MASKED, kdf(K_D, N_J, ctx("A3 pad"), 16)))
    put("A1", f8(K_D, "A1", 300, 7, N_I, MASKED, b"i", b"jj", 2, b"G"))
    put("A3", f8(K_D, "A3", HANDLE, N_G, N_J, MASKED, 2, b"i", b"jj", b"G"))
    put("A3 answer", f8(K_T, "A3 answer", TH))
    put("peer", kdf(K_T, b"", ctx("peer"), 16))
    put("th_A", sha(array(1, 3, 2, b"i", b"jj", b"G", N_I, N_G, N_J)))
    put("th_B", sha(array(TH, RUN, h(b"N_i"), h(b"N_j"))))
    put("B", f(K_D, "B", ROLE, RUN, TH, b"N", BIG))
    put("B pad", kdf(K_D, array(TH, RUN), ctx("B pad", ROLE), 384))
    put("B pad in life", kdf(K_D, array(TH, RUN, LIFE), ctx("B pad", ROLE), 384))
    put("B6", f8(K_D, "B6", ROLE, RUN, TH, BIG))
    put("B answer", f8(K_T, "B answer", TH))
    put("code", kdf(TH, b"", ctx("code"), 32))
    put("hop key", kdf(K_D, TH, ctx("hop"), 32))
    put("hop", f8(K_D, "hop", HANDLE, RUN, 65_536, BIG))
    put("stored", f8(K_D, "stored", HANDLE, RUN, 255))
    put("hop in life", f8(K_D, "hop", HANDLE, RUN, 65_536, BIG, LIFE))
    put("stored in life", f8(K_D, "stored", HANDLE, RUN, 255, LIFE))


def seals():
    salted, in_life = array(TH, RUN), array(TH, RUN, LIFE)
    for s in (1, 2, 3):
        text = b"some text"
        inbox = kdf(K_D, N_I, ctx("inbox"), KEY[s])
        all_seals = [
            seal(s, K_D, TH, ctx("register id"), text),
            seal(s, K_D, array(TH, N_I), ctx("registered"), text),
            seal(s, K_D, N_I, ctx("attach"), text),
            aead(s, inbox, (66_000).to_bytes(NONCE[s], "big"), ctx("inbox"), text),
            seal(s, K_D, array(N_I, 24), ctx("ack"), text),
            seal(s, K_T, TH, ctx("A1 answer"), text),
            seal(s, K_T, TH, ctx("A1 refusal"), text),
            seal(s, K_T, array(N_I, N_G), ctx("A4"), text),
            seal(s, K_T, N_I, ctx("A4 refusal"), text),
            seal(s, K_T + K_D, TH, ctx("B body", ROLE, RUN), text),
            seal(s, K_T, salted, ctx("B outer", ROLE), text),
            seal(s, K_D, salted, ctx("B inner", ROLE, sha(BIG)), text),
            seal(s, K_T, salted, ctx("B2", ROLE), text),
            seal(s, K_T, salted, ctx("B6", ROLE), text),
            seal(s, K_T, TH, ctx("B refusal", ROLE), text),
            seal(s, K_T + K_D, in_life, ctx("B body", ROLE, RUN), text),
            seal(s, K_T, in_life, ctx("B outer", ROLE), text),
            seal(s, K_D, in_life, ctx("B inner", ROLE, sha(BIG)), text),
        ]
        for number, sealed in enumerate(all_seals):
            put(f"seal {s} {number}", sealed)
        okm = kdf(TH, b"", ctx("traffic", ROLE), KEY[s] + NONCE[s])
        nonce = xor(okm[KEY[s] :], (66_000).to_bytes(NONCE[s], "big"))
        put(f"traffic {s}", aead(s, okm[: KEY[s]], nonce, array(RUN, 66_000), text))
        okm = kdf(okm, LIFE, ctx("life"), KEY[s] + NONCE[s])
        nonce = xor(okm[KEY[s] :], (66_000).to_bytes(NONCE[s], "big"))
        put(f"traffic {s} in life", aead(s, okm[: KEY[s]], nonce, array(RUN, 66_000), text))


groups()
tags()
seals()
