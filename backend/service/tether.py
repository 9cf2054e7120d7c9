"""A worker and what it started, to be ended together; and by the system itself where the service dies first.

On Linux the worker asks the kernel for that (`bootstrap.py`). On Windows it is a job object, which ends with the last
handle to it. On macOS the worker's own watch must do (`worker/channel.py`).
"""

import os
import signal
import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _EXTENDED_LIMITS = 9  # JobObjectExtendedLimitInformation
    _KILL_ON_CLOSE = 0x2000  # JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
    _SET_QUOTA_AND_TERMINATE = 0x0101  # what assigning a process to a job takes

    class _BasicLimits(ctypes.Structure):
        """JOBOBJECT_BASIC_LIMIT_INFORMATION of winnt.h."""

        _fields_ = (
            ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
            ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
            ("LimitFlags", wintypes.DWORD),
            ("MinimumWorkingSetSize", ctypes.c_size_t),
            ("MaximumWorkingSetSize", ctypes.c_size_t),
            ("ActiveProcessLimit", wintypes.DWORD),
            ("Affinity", ctypes.c_size_t),
            ("PriorityClass", wintypes.DWORD),
            ("SchedulingClass", wintypes.DWORD),
        )

    class _ExtendedLimits(ctypes.Structure):
        """JOBOBJECT_EXTENDED_LIMIT_INFORMATION of winnt.h."""

        _fields_ = (
            ("BasicLimitInformation", _BasicLimits),
            ("IoInfo", ctypes.c_ulonglong * 6),
            ("ProcessMemoryLimit", ctypes.c_size_t),
            ("JobMemoryLimit", ctypes.c_size_t),
            ("PeakProcessMemoryUsed", ctypes.c_size_t),
            ("PeakJobMemoryUsed", ctypes.c_size_t),
        )

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel32.CreateJobObjectW.argtypes = (wintypes.LPVOID, wintypes.LPCWSTR)
    _kernel32.CreateJobObjectW.restype = wintypes.HANDLE
    _kernel32.SetInformationJobObject.argtypes = (wintypes.HANDLE, ctypes.c_int, wintypes.LPVOID, wintypes.DWORD)
    _kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    _kernel32.OpenProcess.restype = wintypes.HANDLE
    _kernel32.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
    _kernel32.TerminateJobObject.argtypes = (wintypes.HANDLE, wintypes.UINT)
    _kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)

    class Tether:
        """Owns a job object with one process in it, and all that this one starts."""

        def __init__(self, pid: int) -> None:
            """Raises OSError."""
            self._job = _whole(_kernel32.CreateJobObjectW(None, None))
            limits = _ExtendedLimits()
            limits.BasicLimitInformation.LimitFlags = _KILL_ON_CLOSE
            _whole(
                _kernel32.SetInformationJobObject(
                    self._job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
                )
            )
            process = _whole(_kernel32.OpenProcess(_SET_QUOTA_AND_TERMINATE, False, pid))
            try:
                _whole(_kernel32.AssignProcessToJobObject(self._job, process))
            finally:
                _kernel32.CloseHandle(process)

        def end(self) -> None:
            """End everything that is still there, at once."""
            _kernel32.TerminateJobObject(self._job, 1)

        def __del__(self) -> None:
            job = getattr(self, "_job", None)
            if job:
                _kernel32.CloseHandle(job)

    def _whole(answer: int | None) -> int:
        """What a call of the system answered. Raises OSError where that is nothing."""
        if not answer:
            raise ctypes.WinError(ctypes.get_last_error())
        return answer

else:

    class Tether:
        """Knows the process group that a process leads; nothing else gets the number while one of the group lives."""

        def __init__(self, pid: int) -> None:
            self._pid = pid

        def end(self) -> None:
            """End everything that is still there, at once."""
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):  # nobody is left; macOS says so of zombies by the second
                return
