"""This implementation against the gateway and the device of the repository, over UDP (docs/protocol.md, all of it)."""
from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROFILES = ["compact", "classic"]
SUITES = ["aes-ccm-8", "aes-ccm-16", "chacha20-poly1305", "ascon-aead128"]
TIMEOUT = 60


class Failed(Exception):
    """A case that failed."""


class Running:
    """One process; its output is read when it ends."""

    def __init__(self, command: list[str]) -> None:
        self.name = " ".join(Path(part).name if "/" in part else part for part in command[:8])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=HERE)

    def output(self) -> str:
        """Wait for the end; Failed unless the exit code is 0."""
        try:
            out, err = self.process.communicate(timeout=TIMEOUT + 20)
        except subprocess.TimeoutExpired:
            self.stop()
            raise Failed(f"{self.name}: no end") from None
        if self.process.returncode:
            raise Failed(f"{self.name}: exit {self.process.returncode}: {err.strip()}")
        return out

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class End:
    """One device: `args` runs a command of it."""

    def __init__(self, prefix: list[str], name: str) -> None:
        self.prefix = prefix
        self.name = name

    def start(self, *args: str) -> Running:
        """Start a command."""
        return Running([*self.prefix, *args])

    def run(self, *args: str) -> str:
        """Run a command to its end."""
        return self.start(*args).output()


def text_of(output: str) -> tuple[str, str]:
    """From and text of the one text that a listening end printed."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    texts = [line for line in lines if "text" in line]
    if len(texts) != 1:
        raise Failed(f"expected one text: {output!r}")
    return texts[0]["from"], texts[0]["text"]


def carry(sender: End, receiver: End, listener: Running, text: str) -> None:
    """One text to an end that listens."""
    sender.run("send", receiver.name, text)
    got = text_of(listener.output())
    if got != (sender.name, text):
        raise Failed(f"{receiver.name} got {got}")


def case(inviter: End, other: End) -> None:
    """Invitation, key exchange, a text in each direction."""
    listener = other.start("listen", "--count", "1", "--timeout", str(TIMEOUT))
    back = None
    try:
        inviter.run("connect", other.name, "--timeout", str(TIMEOUT))
        carry(inviter, other, listener, f"from {inviter.name}: 21.5 °C")
        back = inviter.start("listen", "--count", "1", "--timeout", str(TIMEOUT))
        carry(other, inviter, back, f"from {other.name}: valve closed")
    finally:
        for process in (listener, back):
            if process:
                process.stop()


def one_case(args: argparse.Namespace, folder: Path, gateway: str, suite: str, number: int) -> None:
    """Register two fresh devices and let one invite the other."""
    ours, theirs = f"py-{suite[:6]}-{number}", f"dev-{suite[:6]}-{number}"
    if suite.startswith("aes"):
        ours, theirs = f"py-ccm{suite[8:]}-{number}", f"dev-ccm{suite[8:]}-{number}"
    # In the second case both pad what they can.
    pads = [["--pad-attach"], ["--pad-sizes"]] if number == 2 else [[], []]
    python = End([sys.executable, "-m", "sga1", *pads[0], "--state", str(folder / f"{ours}.json")], ours)
    device = End([args.device_bin, *pads[1], "--state", str(folder / theirs), "--json"], theirs)
    python.run("register", "--gateway", gateway, "--id", ours, "--suite", suite)
    device.run("register", "--gateway", gateway, "--id", theirs, "--suite", suite)
    case(*((python, device) if number == 1 else (device, python)))


def one_profile(args: argparse.Namespace, profile: str, suites: list[str]) -> list[bool]:
    """All cases of one profile at one gateway."""
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gateway = subprocess.Popen(
            [args.gateway_bin, "run", "--listen", "127.0.0.1:0", "--data", str(folder / "gateway"), "--enrol", "open",
             "--profile", profile], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert gateway.stdout
            line = gateway.stdout.readline()
            if not line.startswith("listening on "):
                raise SystemExit(f"the gateway said {line!r}")
            url = f"coap://{line.split()[-1]}"
            for suite in suites:
                for number, who in ((1, "python"), (2, "sga-device")):
                    try:
                        one_case(args, folder, url, suite, number)
                        results.append(True)
                        print(f"{profile} {suite} {who}: ok", flush=True)
                    except Failed as error:
                        results.append(False)
                        print(f"{profile} {suite} {who}: FAILED: {error}", flush=True)
        finally:
            gateway.kill()
            gateway.wait()
    return results


def main() -> int:
    """All cases, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway-bin", required=True, type=lambda p: str(Path(p).resolve()))
    parser.add_argument("--device-bin", required=True, type=lambda p: str(Path(p).resolve()))
    parser.add_argument("--profile", choices=[*PROFILES, "classic3072"])
    parser.add_argument("--suite", choices=SUITES)
    args = parser.parse_args()
    results: list[bool] = []
    for profile in [args.profile] if args.profile else PROFILES:
        results += one_profile(args, profile, [args.suite] if args.suite else SUITES)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
