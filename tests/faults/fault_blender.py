"""Blender, painting over the default cube again and again by the add-on's script interface. To be killed."""

import os
import random
import sys

import bpy
import fault_notes
from underpaint import addon
from underpaint.addon import api
from underpaint.protocol.errors import BackendError, JobError

options = fault_notes.options()
addon.register()
bpy.ops.wm.read_factory_settings()
scene = bpy.context.scene
scene.render.engine = "UNDERPAINT"
scene.render.resolution_x, scene.render.resolution_y = 64, 48
fault_notes.note_submissions(options.ledger)
random_ = random.Random(options.seed + os.getpid())
while not fault_notes.enough(options.ledger):
    try:
        api.generate(scene, prompt="steps=2 pause=0.02", seed=random_.randrange(1 << 30), controls=())
    except (BackendError, JobError) as error:
        print(f"{type(error).__name__}: {error}", flush=True)
sys.stdout.flush()
os._exit(0)  # an engine that is registered at the end of bpy 4.5 hangs; this client is about jobs
