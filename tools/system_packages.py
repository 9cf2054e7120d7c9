"""What must be on the system beside Python, git and make, and putting it there where that is allowed.

Standard library only: this runs before any environment exists.
"""

import importlib.util
import os
import shutil
import subprocess
import sys

# Shared libraries that neither bpy's nor PySide6's wheels bring along, as ldd names them on a bare Debian 12,
# and the Debian package of each.
_LIBRARIES = {
    "libdbus-1.so.3": "libdbus-1-3",
    "libEGL.so.1": "libegl1",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libGL.so.1": "libgl1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
    "libICE.so.6": "libice6",
    "libOpenGL.so.0": "libopengl0",
    "libSM.so.6": "libsm6",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libX11.so.6": "libx11-6",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libXext.so.6": "libxext6",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libXrender.so.1": "libxrender1",
    "libXt.so.6": "libxt6",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libzstd.so.1": "libzstd1",
}

# Programs for the real window. Without them its tests skip, and say so.
_PROGRAMS = {
    "Xvfb": "xvfb",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "xdotool": "xdotool",
    "import": "imagemagick",
}

_FONTS = ("/usr/share/fonts", "fonts-dejavu-core")  # Qt draws boxes without any


class PackagesMissing(SystemExit):
    """The system lacks something that setup may not put there; leaves with a sentence."""


def missing_packages() -> list[str]:
    """Debian packages for what this system lacks."""
    loadable = _loadable()
    missing = [package for name, package in _LIBRARIES.items() if f"{name} " not in loadable]
    missing += [package for name, package in _PROGRAMS.items() if not shutil.which(name, path=_search_path())]
    folder, fonts = _FONTS
    if not os.path.isdir(folder):  # noqa: PTH112  one test is no reason for a Path
        missing.append(fonts)
    if not importlib.util.find_spec("ensurepip"):
        missing.append(f"python{sys.version_info.major}.{sys.version_info.minor}-venv")
    return missing


def ensure_system_packages() -> None:
    """Install what is missing when this is root on a system with apt; else leave, naming it."""
    if not sys.platform.startswith("linux"):
        return
    missing = missing_packages()
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise PackagesMissing(f"setup: the system lacks something; on Debian or Ubuntu: sudo apt-get install {names}")
    print(f"setup: apt-get install {names}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    update = ["apt-get", "update", "-qq"]
    install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *missing]
    for command in (update, install):
        code = subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL, check=False).returncode
        # A third party's list that fails to refresh needs not stop us; a package that cannot be had does.
        if code and command is install:
            raise PackagesMissing(f"setup: apt-get could not install {names}")


def _loadable() -> str:
    ldconfig = shutil.which("ldconfig", path=_search_path())
    if ldconfig is None:
        raise PackagesMissing("setup: ldconfig is not on this system, so what it lacks cannot be told")
    return subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
