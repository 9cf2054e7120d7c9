import bpy

underpaint = bpy.context.scene.underpaint
underpaint.negative_prompt = "blurry, low quality, deformed"
underpaint.steps = 30
underpaint.guidance_scale = 7.0
underpaint.scheduler = "UNIPC"
underpaint.sigmas = "DEFAULT"
underpaint.controls.clear()
underpaint.active_control = 0
control = underpaint.controls.add()
control.name = "Depth"
control.kind = "DEPTH"
control.conditioning_scale = 1.0
control.start = 0.0
control.end = 1.0
control = underpaint.controls.add()
control.name = "Normal"
control.kind = "NORMAL"
control.conditioning_scale = 1.0
control.start = 0.0
control.end = 1.0
control = underpaint.controls.add()
control.name = "Pose"
control.kind = "OPENPOSE"
control.conditioning_scale = 1.0
control.start = 0.0
control.end = 1.0
