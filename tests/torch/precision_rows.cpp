#include "rows.hpp"

namespace tern::test {

static const Rows precision{
    {"torch.bfloat16", "torch.full((3,), 1 / 3, dtype=torch.bfloat16)",
     [] { return full({3}, 1.0 / 3, {.dtype = DType::bfloat16}); }},
    {"torch.float16", "torch.full((3,), 1 / 3, dtype=torch.float16)",
     [] { return full({3}, 1.0 / 3, {.dtype = DType::float16}); }},
    {"torch.promote_types",
     "[torch.promote_types(x, y) for x in (torch.int64, torch.float16, torch.bfloat16, torch.float32)"
     " for y in (torch.uint8, torch.float16, torch.bfloat16, torch.float64)]",
     [] {
       using enum DType;
       std::vector<Tensor> all;
       for (const DType x : {int64, float16, bfloat16, float32}) {
         for (const DType y : {uint8, float16, bfloat16, float64}) all.push_back(to_tensors(promote_types(x, y))[0]);
       }
       return all;
     },
     "",
     {.call = "promote_types(DType::float16, DType::bfloat16)"}},
    {"torch.finfo",
     "[float(f) for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64) for f in (torch.finfo(d).eps, "
     "torch.finfo(d).max)]",
     [] {
       std::vector<double> all;
       for (const DType d : {DType::float16, DType::bfloat16, DType::float32, DType::float64}) {
         all.push_back(epsilon_of(d));
         all.push_back(largest_of(d));
       }
       return all;
     },
     "",
     {.call = "epsilon_of(dtype), largest_of(dtype)"}},
    {"torch.autocast",
     "with torch.autocast('cpu', torch.bfloat16):\n  y = F.linear(a, b)\nreturn y",
     [](T a, T b) {
       const AutocastGuard autocast(DType::bfloat16);
       return linear(a, b);
     },
     "[3,4] [5,4] | [2,3,9] [1,9] | [0,2] [3,2]",
     {.looser = 500, .half = false, .call = "AutocastGuard autocast(DType::bfloat16)"}},
    {"torch.autocast, enabled",
     "with torch.autocast('cpu', torch.bfloat16):\n  with torch.autocast('cpu', enabled=False):\n    y = a @ b\nreturn "
     "y",
     [](T a, T b) {
       const AutocastGuard autocast(DType::bfloat16);
       const AutocastGuard off(DType::float32);
       return matmul(a, b);
     },
     "[3,4] [4,5]",
     {.call = "AutocastGuard off(DType::float32)"}},
    {"torch.is_autocast_enabled",
     "torch.is_autocast_enabled()",
     [] { return autocast_dtype() != DType::float32; },
     "",
     {.call = "autocast_dtype() != DType::float32"}},
    {"torch.cuda.amp.GradScaler",
     "a * 2.0**16",
     [](T a) { return GradScaler().scale(a); },
     "[] | [1]",
     {.half = false}},
    {"torch.set_float32_matmul_precision",
     "torch.set_float32_matmul_precision('highest')\nreturn a @ b",
     [](T a, T b) {
       set_float32_precision(Precision::highest);
       const Tensor y = matmul(a, b);
       set_float32_precision({});
       return y;
     },
     "[3,4] [4,5]",
     {.call = "set_float32_precision(Precision::highest)"}},
    {"torch.get_float32_matmul_precision",
     "torch.set_float32_matmul_precision('high'); return torch.get_float32_matmul_precision() == 'high'",
     [] { return float32_precision(Device::cpu) == Precision::high; },
     "",
     {.differs = "of a device", .call = "float32_precision(device)"}},
};

}  // namespace tern::test
