"""The menu bar: every action with its place, its key and its tooltip."""

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMenuBar

from .icons import icon
from .result_view import ResultView
from .run_bar import RunBar


@dataclass(frozen=True, kw_only=True)
class Deeds:
    """What the actions do."""

    take_settings: Callable[[], None]
    quit: Callable[[], object]
    find_render: Callable[[], None]
    show_maps: Callable[[], None]
    new_seed: Callable[[], None]
    check_memory: Callable[[], None]
    refresh_models: Callable[[], None]
    models_folders: Callable[[], object]
    catalogue: Callable[[], object]
    diagnose: Callable[[], None]


def fill(bar: QMenuBar, result: ResultView, run: RunBar, deeds: Deeds) -> None:
    """Make the menus of an empty bar."""

    def action(text: str, deed: Callable[[], object], *, icon_name: str = "", key: object = None) -> QAction:
        made = QAction(text, bar)
        if icon_name:
            made.setIcon(icon(icon_name))
        if isinstance(key, QKeySequence.StandardKey | str):
            made.setShortcut(QKeySequence(key))
        made.triggered.connect(lambda: deed())
        return made

    file = bar.addMenu("&File")
    taking = action(
        "Settings from a Saved Picture…",
        deeds.take_settings,
        icon_name="settings",
        key=QKeySequence.StandardKey.Open,
    )
    file.addActions([taking, result.save])
    file.addSeparator()
    file.addAction(action("Quit", deeds.quit, key="Ctrl+Q"))
    job = bar.addMenu("&Job")
    job.addActions([run.generate, run.cancel])
    job.addSeparator()
    job.addActions(
        [
            action("Use Passes of the Last Blender Render", deeds.find_render, icon_name="render"),
            action("Show Control Maps", deeds.show_maps, icon_name="maps"),
            action("Check Memory", deeds.check_memory, icon_name="info"),
            action("New Seed", deeds.new_seed, icon_name="dice", key="Ctrl+R"),
        ]
    )
    models = bar.addMenu("&Models")
    models.addActions(
        [
            action("Download…", deeds.catalogue, icon_name="save"),
            action("Folders…", deeds.models_folders, icon_name="open"),
            action("Refresh", deeds.refresh_models, icon_name="again"),
        ]
    )
    view = bar.addMenu("&View")
    view.addActions([result.fit, result.actual, result.copy, result.begin])
    diagnose = action("Copy Diagnostics", deeds.diagnose, icon_name="info")
    diagnose.setToolTip("What a bug report needs, without prompts, tokens and names of folders")
    bar.addMenu("&Help").addAction(diagnose)
