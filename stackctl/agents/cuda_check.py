"""Adds two vectors on the only GPU that is visible, through the driver's own library.

It says `passed` and the card's name, or which call failed with which error. Any Python 3 of an image will do.
"""

import ctypes
import sys
from typing import Any

# Assembled by the driver for whatever card there is: PTX of an old version and target runs on all that came later.
# The assemblers of CUDA 12.9 and 13.5 take it for sm_75 to sm_120; the latter makes no code for sm_50 any more.
PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry add(.param .u64 sum, .param .u64 other, .param .u32 count)
{
  .reg .pred %outside;
  .reg .u32 %block, %size, %thread, %index, %count, %left, %right;
  .reg .u64 %sum, %other, %offset;
  mov.u32 %block, %ctaid.x;
  mov.u32 %size, %ntid.x;
  mov.u32 %thread, %tid.x;
  mad.lo.u32 %index, %block, %size, %thread;
  ld.param.u32 %count, [count];
  setp.ge.u32 %outside, %index, %count;
  @%outside bra DONE;
  ld.param.u64 %sum, [sum];
  ld.param.u64 %other, [other];
  cvta.to.global.u64 %sum, %sum;
  cvta.to.global.u64 %other, %other;
  mul.wide.u32 %offset, %index, 4;
  add.u64 %sum, %sum, %offset;
  add.u64 %other, %other, %offset;
  ld.global.u32 %left, [%sum];
  ld.global.u32 %right, [%other];
  add.u32 %left, %left, %right;
  st.global.u32 [%sum], %left;
DONE:
  ret;
}
"""
COUNT = 4096
BLOCK = 256


def check() -> str:
    """The card's name; OSError where the driver's library is missing, RuntimeError with the call that failed."""
    cuda = ctypes.CDLL("libcuda.so.1")

    def call(name: str, *arguments: Any) -> None:
        status = getattr(cuda, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} failed with CUDA error {status}")

    call("cuInit", 0)
    device, context = ctypes.c_int(), ctypes.c_void_p()
    call("cuDeviceGet", ctypes.byref(device), 0)
    name = ctypes.create_string_buffer(128)
    call("cuDeviceGetName", name, 128, device)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    module, add = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), PTX)
    call("cuModuleGetFunction", ctypes.byref(add), module, b"add")
    vectors = [(ctypes.c_uint32 * COUNT)(*(factor * i for i in range(COUNT))) for factor in (1, 2)]
    places = [ctypes.c_uint64(), ctypes.c_uint64()]
    size = ctypes.c_size_t(ctypes.sizeof(vectors[0]))
    for place, vector in zip(places, vectors):  # noqa: B905 - `strict` came with Python 3.10
        call("cuMemAlloc_v2", ctypes.byref(place), size)
        call("cuMemcpyHtoD_v2", place, vector, size)
    values = [*places, ctypes.c_uint32(COUNT)]
    arguments = (ctypes.c_void_p * 3)(*(ctypes.addressof(value) for value in values))
    grid = COUNT // BLOCK
    call("cuLaunchKernel", add, grid, 1, 1, BLOCK, 1, 1, 0, None, arguments, None)
    call("cuCtxSynchronize")
    call("cuMemcpyDtoH_v2", vectors[0], places[0], size)
    if any(vectors[0][i] != 3 * i for i in range(COUNT)):
        raise RuntimeError("the GPU added wrongly")
    return name.value.decode(errors="replace")


if __name__ == "__main__":
    try:
        print("passed", check())  # noqa: T201 - the one answer
    except (OSError, AttributeError, RuntimeError) as error:
        print(error)  # noqa: T201
        sys.exit(1)
