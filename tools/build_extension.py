"""Build the extension's zip into dist/ with Blender's own builder, and have Blender's own validator look at it.

The builder is the `blender --command extension` of the bpy wheel; it takes what the manifest's [build] doesn't exclude.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
BLENDER = "5.0"


class BuildFailed(Exception):
    """Blender's builder or validator refused; the message is what it said."""


def build(folder: Path = DIST) -> Path:
    """Write the zip into a folder and give its path. Raises BuildFailed."""
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{manifest['id']}-{manifest['version']}.zip"
    archive.unlink(missing_ok=True)
    _extension_command("build", "--source-dir", str(ROOT), "--output-filepath", str(archive))
    _extension_command("validate", str(archive))
    return archive


def _extension_command(*arguments: str) -> None:
    environment = ROOT / ".venvs" / f"bpy-{BLENDER}"
    found = sorted(environment.glob(f"lib/python*/site-packages/bpy/{BLENDER}/scripts/addons_core/bl_pkg/cli"))
    if not found:
        raise BuildFailed(f"{environment} has no bpy; run `make setup`")
    command = [environment / "bin" / "python", found[0] / "blender_ext.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise BuildFailed(f"{arguments[0]}: {done.stdout}{done.stderr}")


if __name__ == "__main__":
    try:
        print(build().relative_to(ROOT))
    except BuildFailed as failure:
        sys.exit(f"{failure}")
