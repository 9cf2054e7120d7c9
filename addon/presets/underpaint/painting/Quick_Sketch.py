import bpy

underpaint = bpy.context.scene.underpaint
underpaint.negative_prompt = "blurry, low quality"
underpaint.steps = 8
underpaint.guidance_scale = 5.5
underpaint.scheduler = "UNIPC"
underpaint.sigmas = "DEFAULT"
underpaint.controls.clear()
underpaint.active_control = 0
control = underpaint.controls.add()
control.name = "Depth"
control.kind = "DEPTH"
control.conditioning_scale = 1.0
control.start = 0.0
control.end = 0.8
control = underpaint.controls.add()
control.name = "Normal"
control.kind = "NORMAL"
control.conditioning_scale = 0.6
control.start = 0.0
control.end = 0.6
