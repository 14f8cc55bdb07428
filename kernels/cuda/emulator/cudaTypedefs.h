#pragma once

/// The types of the driver's functions that cudaGetDriverEntryPointByVersion gives.

enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_DEVICE = 101 };
using PFN_cuDevicePrimaryCtxGetState_v7000 = CUresult (*)(int device, unsigned* flags, int* active);
