#include "rows.hpp"

namespace tern::test {

static const Rows shapes_and_views{
    {"Tensor.reshape", "a.reshape(3, -1)",
     [](T a) {
       return a.reshape({3, -1});
     },
     "[2,3] | [6,2] | int[3] | [3,0,2]"},
    {"Tensor.reshape, of a view", "a.t().reshape(-1)", [](T a) { return a.t().reshape(-1); }, "[2,3] | [1,4] | [0,3]"},
    {"Tensor.reshape, to no dimension", "a.reshape(())", [](T a) { return a.reshape({}); }, "[1] | [1,1] | []"},
    {"Tensor.reshape_as", "a.reshape_as(b)", [](T a, T b) { return a.reshape_as(b); }, "[2,3] [6] | [4] [2,1,2]"},
    {"Tensor.view", "a.view(-1, 2)",
     [](T a) {
       return a.view({-1, 2});
     },
     "[3,4] | [2] | [0,2]"},
    {"Tensor.view_as", "a.view_as(b)", [](T a, T b) { return a.view_as(b); }, "[2,3] [6] | [0] [3,0]"},
    {"Tensor.flatten", "a.flatten(1)", [](T a) { return a.flatten(1); }, "[2,3,4] | [2,1] | [0,3,2]"},
    {"Tensor.flatten, all", "a.flatten()", [](T a) { return a.flatten(); }, "[2,3,4] | [] | [0,3]"},
    {"Tensor.permute", "a.permute(2, 0, 1)",
     [](T a) {
       return a.permute({2, 0, 1});
     },
     "[2,3,4] | int[1,3,2] | [0,2,3]"},
    {"Tensor.transpose", "a.transpose(0, -1)", [](T a) { return a.transpose(0, -1); }, "[2,3,4] | [5] | [0,3]"},
    {"Tensor.t", "a.t()", [](T a) { return a.t(); }, "[2,3] | [1,1] | [0,3]"},
    {"Tensor.T", "a.T", [](T a) { return a.T(); }, "[2,3] | [2,3,4] | [5] | []"},
    {"Tensor.narrow", "a.narrow(1, 1, 2)", [](T a) { return a.narrow(1, 1, 2); }, "[2,3] | [1,5,2] | [0,3]"},
    {"Tensor.select", "a.select(-1, -2)", [](T a) { return a.select(-1, -2); }, "[2,3] | [4] | [0,2]"},
    {"Tensor.__getitem__, a number", "a[1]", [](T a) { return a[1]; }, "[2,3] | [4] | [2,0]"},
    {"Tensor.__getitem__, two numbers", "a[1][-1]", [](T a) { return a[1][-1]; }, "[2,3] | [4,1,2]"},
    {"Tensor.squeeze", "a.squeeze()", [](T a) { return a.squeeze(); }, "[2,1,3,1] | [1,1] | [] | [1,0] | [2,3]"},
    {"Tensor.squeeze, dim", "a.squeeze(1)", [](T a) { return a.squeeze(1); }, "[2,1,3] | [2,3] | [0,1]"},
    {"Tensor.unsqueeze", "a.unsqueeze(-1)", [](T a) { return a.unsqueeze(-1); }, "[2,3] | [] | [0]"},
    {"Tensor.expand", "a.expand(4, -1, 3)",
     [](T a) {
       return a.expand({4, -1, 3});
     },
     "[2,1] | [4,2,3] | [1,0,1]"},
    {"Tensor.expand_as",
     "a.expand_as(b)",
     [](T a, T b) { return a.expand_as(b); },
     "[3] [2,3] | [] [4] | [1] [0]",
     {.gradient = false}},
    {"Tensor.contiguous", "a.t().contiguous()", [](T a) { return a.t().contiguous(); }, "[2,3] | [0,3]"},
    {"Tensor.is_contiguous",
     "(a.is_contiguous(), a.t().is_contiguous(), a[:, :1].is_contiguous())",
     [](T a) { return std::tuple(a.is_contiguous(), a.t().is_contiguous(), a.narrow(1, 0, 1).is_contiguous()); },
     "[2,3] | [1,3]",
     {.call = "a.is_contiguous()"}},
    {"Tensor.clone", "a.clone()", [](T a) { return a.clone(); }, "[2,3] | [] | nan[5] | int[2]"},
    {"Tensor.detach", "a.detach()", [](T a) { return a.detach(); }, "[2,3] | []"},
    {"Tensor.to",
     "(a.to(torch.float64), a.to(torch.float32), a.to(torch.int64))",
     [](T a) { return std::tuple(a.to(DType::float64), a.to(DType::float32), a.to(DType::int64)); },
     "[2,3] | int[4] | bytes[5] | []",
     {.call = "a.to(DType::float64)"}},
    {"Tensor.to, NaN and infinities",
     "torch.nan_to_num(a, 0, 2.0**62, -2.0**62).long().sign()",
     [](T a) { return sign(a.to(DType::int64)); },
     "nan[20]",
     {.gradient = false,
      .differs = "0 from NaN, the nearest whole number there is from what is out of range",
      .call = "a.to(DType::int64)"}},
    {"Tensor.to, device", "a.to('cpu')", [](T a) { return a.to(Device::cpu); }, "[2,3] | int[]"},
    {"Tensor.cpu", "a.cpu()", [](T a) { return a.cpu(); }, "[2,3]"},
    {"Tensor.long", "a.long()", [](T a) { return a.to(DType::int64); }, "[9] | bytes[4] | int[]"},
    {"Tensor.float", "a.float()", [](T a) { return a.to(DType::float32); }, "[9] | bytes[4] | int[]"},
    {"Tensor.double", "a.double()", [](T a) { return a.to(DType::float64); }, "[9] | bytes[4] | int[]"},
    {"Tensor.byte", "a.byte()", [](T a) { return a.to(DType::uint8); }, "pos[9] | bytes[4] | int[6]"},
    {"Tensor.as_strided",
     "a.as_strided((2, 2), (1, 2), 1)",
     [](T a) {
       return a.as_strided({2, 2}, {1, 2}, 1);
     },
     "[6] | [2,3]",
     {.gradient = false}},
    {"Tensor.shape", "a.shape", [](T a) { return a.shape(); }, "[2,3] | [] | [0,3]"},
    {"Tensor.size", "a.size()", [](T a) { return a.shape(); }, "[2,3] | [] | [0,3]"},
    {"Tensor.size, dim", "a.size(-1)", [](T a) { return a.size(-1); }, "[2,3] | [0]"},
    {"Tensor.dim", "a.dim()", [](T a) { return a.dim(); }, "[2,3] | []"},
    {"Tensor.numel", "a.numel()", [](T a) { return a.numel(); }, "[2,3] | [] | [0,3]"},
    {"Tensor.stride", "list(a.t().stride())", [](T a) { return a.t().strides(); }, "[2,3] | [1,5]"},
    {"Tensor.storage_offset", "a[1].storage_offset()", [](T a) { return a[1].storage_offset(); }, "[2,3] | [4]"},
    {"Tensor.dtype", "a.dtype", [](T a) { return a.dtype(); }, "[2,3] | int[2] | bytes[1]"},
    {"Tensor.device",
     "str(a.device).split(':')[0]",
     [](T a) { return a.cpu().device().str(); },
     "[2]",
     {.call = "a.device()"}},
    {"Tensor.item", "a.item()", [](T a) { return a.item(); }, "[] | [1] | [1,1]", {.gradient = false}},
    {"Tensor.item, whole", "a.item()", [](T a) { return a.item<std::int64_t>(); }, "int[] | int[1]"},
    {"Tensor.tolist",
     "a.double().t().flatten().tolist()",
     [](T a) { return a.t().to_vector<double>(); },
     "[2,3] | [1,4]",
     {.gradient = false, .differs = "one vector, in row-major order", .call = "a.to_vector<double>()"}},
    {"Tensor.data_ptr",
     "a.storage_offset() == 0",
     [](T a) { return a.cpu().storage_offset() == 0; },
     "[3]",
     {.call = "a.data<float>()"}},
    {"Tensor.is_floating_point", "a.is_floating_point()", [](T a) { return is_floating(a.dtype()); }, "[2] | int[2]"},
    {"torch.Size",
     "str(list(a.shape))",
     [](T a) { return a.shape().str(); },
     "[2,3] | [] | [0]",
     {.differs = "prints [2, 3]"}},
};

static const Rows joining{
    {"torch.cat", "torch.cat([a, b, a], 1)",
     [](T a, T b) {
       return cat({a, b, a}, 1);
     },
     "[2,3] [2,1] | [2,0] [2,2] | int[1,2] int[1,1]"},
    {"torch.cat, dim 0", "torch.cat([a, b])",
     [](T a, T b) {
       return cat({a, b});
     },
     "[2,3] [4,3] | [2] [0]"},
    {"torch.stack", "torch.stack([a, b], -1)",
     [](T a, T b) {
       return stack({a, b}, -1);
     },
     "[2,3] [2,3] | [] [] | [0] [0] | int[2] int[2]"},
    {"torch.index_select", "torch.index_select(a, 1, b)", [](T a, T b) { return index_select(a, 1, b); },
     "[2,5] below5[7] | [0,5] below5[2] | [3,5,2] below5[1] | int[2,5] below5[3]"},
    {"Tensor.index_select", "a.index_select(0, b)", [](T a, T b) { return a.index_select(0, b); },
     "[5,2] below5[7] | [5] below5[0]"},
};

}  // namespace tern::test
