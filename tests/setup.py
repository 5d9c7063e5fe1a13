"""Make ready what the tests need besides Python packages. `python -m tests.setup`

A Chromium for the tests of the pages; on Debian also bubblewrap and nginx, for the tests of the
container and of several replicas, which are skipped without them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
# A program, and the packages that bring it.
DEBIAN = {
    "bwrap": ["bubblewrap"],
    "nginx": ["nginx-light"],
}


def main() -> None:
    packages = [one for name, wanted in DEBIAN.items() if not found(name) for one in wanted]
    if not CHROMIUM.exists() and not playwright_has_one():
        packages += ["chromium", "fonts-noto-cjk"]
    if not packages:
        return
    if sys.platform == "linux" and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run([*install, *packages], check=True, env=environment)
    elif "chromium" in packages:
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=True)


def found(program: str) -> bool:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


def playwright_has_one() -> bool:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


if __name__ == "__main__":
    main()
