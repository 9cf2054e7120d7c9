import bpy

underpaint = bpy.context.scene.underpaint
underpaint.negative_prompt = "blurry, low quality, deformed"
underpaint.steps = 25
underpaint.guidance_scale = 6.5
underpaint.scheduler = "DPMPP_2M"
underpaint.sigmas = "DEFAULT"
underpaint.controls.clear()
underpaint.active_control = 0
control = underpaint.controls.add()
control.name = "Depth"
control.kind = "DEPTH"
control.conditioning_scale = 0.7
control.start = 0.0
control.end = 0.7
control = underpaint.controls.add()
control.name = "Pose"
control.kind = "OPENPOSE"
control.conditioning_scale = 0.9
control.start = 0.0
control.end = 0.8
