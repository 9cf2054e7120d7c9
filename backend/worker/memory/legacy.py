"""What the jobs ask for until they plan each picture by itself."""

from . import devices
from .plan import Plan, Rung


def make_plan() -> Plan:
    """Everything resident, in the format that the device prefers."""
    machine = devices.machine()
    dtype = machine.formats[0]
    return Plan(
        machine=machine, dtype_name=dtype, vae_dtype_name="float32" if dtype == "float16" else dtype,
        rung=Rung.RESIDENT, peak_bytes=0, limit_bytes=machine.free_bytes, words=f"{machine.full_name}, {dtype}",
    )  # fmt: skip
