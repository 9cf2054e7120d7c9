"""What may be chosen about painting, as Blender keeps it: the picture to start from, and points of weight curves."""

import bpy
from bpy.props import EnumProperty, FloatProperty, IntProperty, PointerProperty

from . import callbacks


class UNDERPAINT_PG_curve_point(bpy.types.PropertyGroup):
    """How much a control counts at one place of the way from noise to picture"""

    at: FloatProperty(
        name="At",
        description="The part of the steps at which the control has this weight. Between two points it runs straight",
        default=0.0,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
    )
    factor: FloatProperty(
        name="Weight",
        description="What the conditioning scale is multiplied with there",
        default=1.0,
        min=0.0,
        max=100.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )


class UNDERPAINT_PG_start(bpy.types.PropertyGroup):
    """The picture that painting begins with, instead of noise alone"""

    source: EnumProperty(
        name="Start From",
        description="What painting begins with",
        items=(
            ("NONE", "Noise", "Noise alone: text to image", 0),
            (
                "RENDER",
                "Render of the Scene",
                "The scene as Cycles renders it, with its materials, lights and samples. Generate waits for that "
                "render, and few samples do for what is painted over",
                1,
            ),
            ("IMAGE", "Image", "Any image or photo: image to image", 2),
        ),
    )
    image: PointerProperty(
        type=bpy.types.Image,
        name="Image",
        description="The image to start from. It is fitted to the picture's size",
        poll=callbacks.is_usable_image,
    )
    strength: FloatProperty(
        name="Strength",
        description="How much is painted anew (denoising strength): 0 leaves the image as it is, 1 nothing of it",
        default=0.8,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        precision=2,
    )
    mask_from: EnumProperty(
        name="Paint Anew",
        description="Which part of the image is painted anew; the rest stays to the pixel",
        items=(
            ("NONE", "Everything", "The whole picture", 0),
            ("SELECTED", "Selected Objects", "What the camera sees of the selected objects", 1),
            ("OBJECTS", "Objects", "What the camera sees of an object or a collection", 2),
            ("MATERIAL", "Material", "What the camera sees of a material", 3),
            ("IMAGE", "Mask Image", "Where another image is white", 4),
            ("ALPHA", "Image's Alpha", "Where the image is transparent", 5),
        ),
    )
    mask_object: PointerProperty(type=bpy.types.Object, name="Object", description="The object that is painted anew")
    mask_collection: PointerProperty(
        type=bpy.types.Collection, name="Collection", description="The collection whose objects are painted anew"
    )
    mask_material: PointerProperty(
        type=bpy.types.Material, name="Material", description="The material that is painted anew, on whatever it is"
    )
    mask_image: PointerProperty(
        type=bpy.types.Image,
        name="Mask Image",
        description="White where the picture is painted anew, black where it stays",
        poll=callbacks.is_usable_image,
    )
    mask_grow_px: IntProperty(
        name="Grow",
        description="How many pixels the part to paint anew grows by; negative numbers shrink it",
        default=0,
        min=-1000,
        max=1000,
        soft_min=-64,
        soft_max=64,
        subtype="PIXEL",
    )
    mask_blur_px: FloatProperty(
        name="Blur",
        description="How soft the edge is between what is painted anew and what stays",
        default=0.0,
        min=0.0,
        max=1000.0,
        soft_max=64.0,
        step=50,
        precision=1,
        subtype="PIXEL",
    )


CLASSES = (UNDERPAINT_PG_curve_point, UNDERPAINT_PG_start)
