#include "rows.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace tern::test {

static const Rows choosing{
    {"torch.where", "torch.where(a, b, c)", [](T a, T b, T c) { return where(a, b, c); },
     "mask[2,3] [3] [2,1] | mask[] [] [] | mask[0,3] [1,3] [] | mask[3] int[3] [3] | mask[4] nan[4] nan[1]"},
    {"torch.where, a number", "torch.where(a, b, 0.5)", [](T a, T b) { return where(a, b, 0.5); },
     "mask[2,3] [3] | mask[] [] | mask[0] [0]"},
    {"Tensor.masked_fill", "a.masked_fill(b, -math.inf)", [](T a, T b) { return masked_fill(a, b, -INFINITY); },
     "[2,3] mask[2,3] | [2,3] mask[3] | [3] mask[2,1] | [] mask[] | [0,3] mask[3]"},
    {"torch.logical_and", "torch.logical_and(a, b)", [](T a, T b) { return logical_and(a, b); },
     "ties[5] nan[5] | int[2,3] ties[3] | bytes[] bytes[4]"},
    {"torch.logical_or", "torch.logical_or(a, b)", [](T a, T b) { return logical_or(a, b); },
     "ties[5] nan[5] | int[2,3] ties[3] | bytes[] bytes[4]"},
    {"torch.logical_xor", "torch.logical_xor(a, b)", [](T a, T b) { return logical_xor(a, b); },
     "ties[5] nan[5] | int[2,3] ties[3] | bytes[] bytes[4]"},
    {"torch.logical_not", "torch.logical_not(a)", [](T a) { return logical_not(a); },
     "nan[7] | int[2,3] | bytes[] | [0]"},
    {"torch.isnan", "torch.isnan(a)", [](T a) { return isnan(a); }, "nan[9] | int[3] | []"},
    {"torch.isinf", "torch.isinf(a)", [](T a) { return isinf(a); }, "nan[9] | int[3] | []"},
    {"torch.isfinite", "torch.isfinite(a)", [](T a) { return isfinite(a); }, "nan[9] | int[3] | []"},
    {"torch.nan_to_num",
     "torch.nan_to_num(a)",
     [](T a) { return nan_to_num(a); },
     "nan[30] | int[3] | []",
     {.half = false}},
    {"torch.nan_to_num, numbers", "torch.nan_to_num(a, 1, 2, -3)", [](T a) { return nan_to_num(a, 1, 2, -3); },
     "nan[30] | [0]"},
    {"torch.isin",
     "torch.isin(a, b)",
     [](T a, T b) { return isin(a, b); },
     "ties[2,5] ties[3] | int[4] int[2,2] | [2] [0] | [] [1]",
     {.gradient = false}},
    {"torch.isclose", "torch.isclose(a, b, 0.1, 0.2, equal_nan=True)",
     [](T a, T b) { return isclose(a, b, 0.1, 0.2, true); },
     "nan[40] nan[40] | ties[9] ties[9] | [2,3] [3] | int[9] int[9]"},
    {"torch.isclose, NaN unequal", "torch.isclose(a, b)", [](T a, T b) { return isclose(a, b); },
     "nan[40] nan[40] | ties[9] ties[9] | int[9] int[9]"},
    {"torch.allclose",
     "[torch.allclose(a, b), torch.allclose(a, a + 1e-9), torch.allclose(a, a * math.nan)]",
     [](T a, T b) { return std::tuple(allclose(a, b), allclose(a, a + 1e-9), allclose(a, a * NAN)); },
     "[5] [5] | [0] [0] | [] []",
     {.only_float64 = true}},
    {"torch.equal", "[torch.equal(a, b), torch.equal(a, a.clone()), torch.equal(a, a[None])]",
     [](T a, T b) { return std::tuple(equal(a, b), equal(a, a.clone()), equal(a, a.unsqueeze(0))); },
     "[5] [5] | nan[9] nan[9] | int[3] int[3] | [0] [0] | [] []"},
};

static const Rows arranging{
    {"torch.cat, of several dtypes", "torch.cat([a, b, c], 0)",
     [](T a, T b, T c) {
       return cat({a, b, c}, 0);
     },
     "int[2,3] [1,3] bytes[2,3] | int[2] bytes[1] int[0] | [2] [1] [2]"},
    {"torch.concat", "torch.concat([a, b], -1)",
     [](T a, T b) {
       return concat({a, b}, -1);
     },
     "[2,3] [2,1] | int[2] [3]"},
    {"torch.hstack", "torch.hstack([a, b])",
     [](T a, T b) {
       return hstack({a, b});
     },
     "[2] [3] | [2,1] [2,3] | [] [] | [2,1,2] [2,2,2]"},
    {"torch.vstack", "torch.vstack([a, b])",
     [](T a, T b) {
       return vstack({a, b});
     },
     "[3] [3] | [2,3] [3] | [] [] | [2,1,2] [1,1,2]"},
    {"torch.split", "torch.split(a, 2, -1)", [](T a) { return split(a, 2, -1); },
     "[5] | [2,4] | [3,1] | [2,0] | int[3]"},
    {"torch.split, sizes", "torch.split(a, [1, 0, 3], 0)",
     [](T a) {
       return split(a, std::vector<std::int64_t>{1, 0, 3}, 0);
     },
     "[4] | [4,2] | bytes[4]"},
    {"torch.chunk", "torch.chunk(a, 3)", [](T a) { return chunk(a, 3); }, "[7] | [4,2] | [2] | [0,2]"},
    {"torch.unbind", "torch.unbind(a, 1)", [](T a) { return unbind(a, 1); }, "[2,3] | [2,1,2] | [2,0] | int[1,2]"},
    {"torch.tensor_split", "torch.tensor_split(a, 3)", [](T a) { return tensor_split(a, 3); }, "[7] | [2,2] | [0,2]"},
    {"torch.diagonal", "torch.diagonal(a, 1, 0, -1)", [](T a) { return diagonal(a, 1, 0, -1); },
     "[3,4] | [4,2] | [2,3,3] | [1,1] | [0,2]"},
    {"torch.diagonal, below", "torch.diagonal(a, -2)", [](T a) { return diagonal(a, -2); }, "[3,4] | [4,2,2] | [1,1]"},
    {"torch.diag_embed", "torch.diag_embed(a, 1)", [](T a) { return diag_embed(a, 1); },
     "[3] | [2,2] | int[1] | [2,0]"},
    {"torch.diag", "torch.diag(a, -1)", [](T a) { return diag(a, -1); }, "[3] | [3,2] | [0] | int[2]"},
    {"torch.tril", "torch.tril(a)", [](T a) { return tril(a); }, "[3,4] | nan[3,3] | [2,4,2] | int[2,2] | [0,2]"},
    {"torch.tril, diagonal", "torch.tril(a, -1)", [](T a) { return tril(a, -1); }, "[3,4] | [2,4,2]"},
    {"torch.triu", "torch.triu(a)", [](T a) { return triu(a); }, "[3,4] | nan[3,3] | [2,4,2] | int[2,2] | [0,2]"},
    {"torch.triu, diagonal", "torch.triu(a, 2)", [](T a) { return triu(a, 2); }, "[3,4] | [2,4,2]"},
    {"torch.flip", "torch.flip(a, (0, -1))",
     [](T a) {
       return flip(a, {0, -1});
     },
     "[2,3] | [2,2,3] | int[1,4] | [0,3]"},
    {"torch.fliplr", "torch.fliplr(a)", [](T a) { return fliplr(a); }, "[2,3] | [1,3,2]"},
    {"torch.flipud", "torch.flipud(a)", [](T a) { return flipud(a); }, "[2,3] | [3]"},
    {"torch.rot90", "[torch.rot90(a), torch.rot90(a, 2), torch.rot90(a, -1, (1, 0))]",
     [](T a) {
       return std::tuple(rot90(a), rot90(a, 2), rot90(a, -1, {1, 0}));
     },
     "[2,3] | [2,3,2] | int[1,2]"},
    {"torch.roll", "torch.roll(a, 2, 0)", [](T a) { return roll(a, 2, 0); }, "[5] | [3,2] | [1,2] | [0,2] | int[3]"},
    {"torch.roll, several", "torch.roll(a, (1, -4), (1, 0))",
     [](T a) {
       return roll(a, {1, -4}, {1, 0});
     },
     "[3,2] | [2,3,2]"},
    {"torch.roll, all", "torch.roll(a, -1)", [](T a) { return roll(a, -1); }, "[3,2] | [] | [0]"},
    {"Tensor.repeat", "a.repeat(2, 1, 3)",
     [](T a) {
       return repeat(a, {2, 1, 3});
     },
     "[2] | [2,1] | [1,2,2] | [] | int[0]"},
    {"torch.tile", "torch.tile(a, (2, 3))",
     [](T a) {
       return tile(a, {2, 3});
     },
     "[2] | [2,1] | [1,2,2] | [] | int[0]"},
    {"torch.repeat_interleave", "torch.repeat_interleave(a, 2, 0)", [](T a) { return repeat_interleave(a, 2, 0); },
     "[3] | [2,3] | [0,2] | int[2]"},
    {"torch.repeat_interleave, all", "torch.repeat_interleave(a, 3)", [](T a) { return repeat_interleave(a, 3); },
     "[3] | [2,3] | []"},
    {"torch.repeat_interleave, each", "torch.repeat_interleave(a, b, 1)",
     [](T a, T b) { return repeat_interleave(a, b, 1); }, "[2,3] below5[3] | [2,3] below5[1] | [2,0] below5[0]"},
    {"torch.movedim", "torch.movedim(a, (0, 1), (-1, 0))",
     [](T a) {
       return movedim(a, {0, 1}, {-1, 0});
     },
     "[2,3] | [2,3,4] | [0,2,1,3]"},
    {"torch.movedim, one", "torch.movedim(a, -1, 0)", [](T a) { return movedim(a, -1, 0); }, "[2,3,4] | [3]"},
    {"torch.moveaxis", "torch.moveaxis(a, 0, -1)", [](T a) { return moveaxis(a, 0, -1); }, "[2,3,4] | [3]"},
    {"torch.ravel", "torch.ravel(a)", [](T a) { return ravel(a); }, "[2,3] | [] | [0,2]"},
    {"torch.swapaxes", "torch.swapaxes(a, 0, -1)", [](T a) { return swapaxes(a, 0, -1); }, "[2,3,4] | [3]"},
    {"torch.swapdims", "torch.swapdims(a, 1, 0)", [](T a) { return swapdims(a, 1, 0); }, "[2,3,4] | [3,1]"},
    {"Tensor.unflatten", "a.unflatten(1, (2, -1))",
     [](T a) {
       return unflatten(a, 1, {2, -1});
     },
     "[3,4] | [1,2,3] | int[2,6]"},
    {"torch.broadcast_to", "torch.broadcast_to(a, (2, 2, 3))",
     [](T a) {
       return broadcast_to(a, {2, 2, 3});
     },
     "[3] | [2,1] | [] | int[2,2,3]"},
    {"torch.broadcast_tensors", "torch.broadcast_tensors(a, b)",
     [](T a, T b) {
       return broadcast_tensors({a, b});
     },
     "[2,1] [3] | [] [2] | int[1] [0]"},
    {"torch.meshgrid", "torch.meshgrid(a, b, c, indexing='ij')",
     [](T a, T b, T c) {
       return meshgrid({a, b, c});
     },
     "[2] [3] [1] | [0] [2] [2] | [] [2] []"},
    {"torch.meshgrid, xy", "torch.meshgrid(a, b, indexing='xy')",
     [](T a, T b) {
       return meshgrid({a, b}, Indexing::xy);
     },
     "[2] [3] | [1] [2]"},
    {"F.pad", "F.pad(a, (1, 2, -1, 3), value=0.5)",
     [](T a) {
       return pad(a, {1, 2, -1, 3}, PadMode::constant, 0.5);
     },
     "[2,3] | [1,2,2]"},
    {"F.pad, of integers", "F.pad(a, (2, -1), value=7)",
     [](T a) {
       return pad(a, {2, -1}, PadMode::constant, 7);
     },
     "int[2,3] | bytes[4]"},
    {"F.pad, reflect", "F.pad(a, (2, 1, 0, 1), mode='reflect')",
     [](T a) {
       return pad(a, {2, 1, 0, 1}, PadMode::reflect);
     },
     "[1,3,4] | [2,1,2,3]"},
    {"F.pad, replicate", "F.pad(a, (2, 1, 0, 3), mode='replicate')",
     [](T a) {
       return pad(a, {2, 1, 0, 3}, PadMode::replicate);
     },
     "[1,3,4] | [2,1,1,1]"},
    {"F.pad, circular", "F.pad(a, (2, 1, 0, 1), mode='circular')",
     [](T a) {
       return pad(a, {2, 1, 0, 1}, PadMode::circular);
     },
     "[1,1,3,4] | [2,1,2,2]"},
};

static const Rows indexing{
    {"Tensor.__getitem__, ranges", "a[1:, ::2, None, -3:-1]",
     [](T a) {
       return index(a, {Slice{1}, Slice{{}, {}, 2}, None, Slice{-3, -1}});
     },
     "[3,4,5] | [1,3,2,2] | [2,1,3] | int[2,3,1]"},
    {"Tensor.__getitem__, numbers", "a[1, ..., -2]",
     [](T a) {
       return index(a, {1, Ellipsis, -2});
     },
     "[3,4] | [2,3,2] | [2,0,2]"},
    {"Tensor.__getitem__, indices", "a[:, b, c]",
     [](T a, T b, T c) {
       return index(a, {Slice(), b, c});
     },
     "[2,3,4] below3[5] below4[5] | [2,3,4] below3[2,1] below4[3] | [1,5,5,2] int[0] int[0] | [2,2,2] below2[] "
     "below2[]"},
    {"Tensor.__getitem__, indices apart", "a[b - 3, :, c]",
     [](T a, T b, T c) {
       return index(a, {b - 3, Slice(), c});
     },
     "[3,2,4] below6[5] below4[5] | [3,2,4,2] below3[2,1] below4[3]"},
    {"Tensor.__getitem__, indices and a number", "a[1, :, b]",
     [](T a, T b) {
       return index(a, {1, Slice(), b});
     },
     "[2,3,4] below4[2,3] | int[2,1,2] below2[3]"},
    {"Tensor.__getitem__, mask", "a[b]", [](T a, T b) { return index(a, {b}); },
     "[2,3] mask[2,3] | [4,2] mask[4] | [] mask[] | [0,2] mask[0]"},
    {"Tensor.__getitem__, mask and range", "a[:, b, 1:]",
     [](T a, T b) {
       return index(a, {Slice(), b, Slice{1}});
     },
     "[2,3,4] mask[3]"},
    {"torch.gather", "torch.gather(a, 1, b)", [](T a, T b) { return gather(a, 1, b); },
     "[2,3] below3[2,5] | [3,3,2] below3[2,4,1] | int[2,2] below2[2,1] | [2,3] below3[2,0] | [2,5] below5[0,3]"},
    {"torch.gather, of a number", "torch.gather(a, 0, b * 0)", [](T a, T b) { return gather(a, 0, b * 0); },
     "[] below1[] | [1] below1[3]"},
    {"torch.take_along_dim", "torch.take_along_dim(a, b, 1)", [](T a, T b) { return take_along_dim(a, b, 1); },
     "[2,3] below3[1,4] | [1,3,2] below3[3,2,1] | int[2,2] below2[2,1]"},
    {"torch.take_along_dim, all", "torch.take_along_dim(a, b)", [](T a, T b) { return take_along_dim(a, b); },
     "[2,3] below6[4] | [3] below3[2]"},
    {"torch.scatter", "torch.scatter(a, 0, b, c)", [](T a, T b, T c) { return scatter(a, 0, b, c); },
     "[5] perm[5] [5] | [5,3] perm[3,1] [3,1] | int[4] perm[2] int[2] | [2] below1[0] [0] | [] below1[] []"},
    {"torch.scatter, a number", "torch.scatter(a, 1, b, 0.5)", [](T a, T b) { return scatter(a, 1, b, 0.5); },
     "[2,3] below3[2,4] | [3,3,2] below3[2,4,1]"},
    {"torch.scatter_add", "torch.scatter_add(a, 1, b, c)", [](T a, T b, T c) { return scatter_add(a, 1, b, c); },
     "[2,3] below3[2,5] [2,5] | [3,3,2] below3[2,4,1] [2,4,1] | int[2,3] below3[1,9] int[1,9] | [2,2] below2[2,0] "
     "[2,0]"},
    {"torch.index_add", "torch.index_add(a, 1, b, c, alpha=2)", [](T a, T b, T c) { return index_add(a, 1, b, c, 2); },
     "[2,3] below3[5] [2,5] | int[2,3,2] below3[4] int[2,4,2] | [2,3] below3[0] [2,0]"},
    {"torch.index_copy", "torch.index_copy(a, 1, b, c)", [](T a, T b, T c) { return index_copy(a, 1, b, c); },
     "[2,3] perm[3] [2,3] | [2,3,2] perm[2] [2,2,2] | int[2,3] perm[1] int[2,1]"},
    {"torch.index_fill", "torch.index_fill(a, 0, b, 2)", [](T a, T b) { return index_fill(a, 0, b, 2); },
     "[3,2] below3[4] | int[3] below3[2] | [2,2] below1[0]"},
    {"torch.take", "torch.take(a, b - 4)", [](T a, T b) { return take(a, b - 4); },
     "[2,3] below10[2,4] | [4] below8[] | int[2,2] below8[0]"},
    {"torch.masked_select", "torch.masked_select(a, b)", [](T a, T b) { return masked_select(a, b); },
     "[2,3] mask[2,3] | [2,3] mask[3] | [3] mask[2,1] | [] mask[] | [0,2] mask[2]"},
    {"torch.nonzero", "torch.nonzero(a)", [](T a) { return nonzero(a); },
     "ties[2,3] | int[9] | nan[5] | bytes[] | [0,2] | below1[3]"},
    {"torch.argwhere", "torch.argwhere(a)", [](T a) { return argwhere(a); }, "ties[2,3] | int[] | [0]"},
    {"Tensor.index_put", "a.index_put((b, c), d)",
     [](T a, T b, T c, T d) {
       return index_put(a, {b, c}, d);
     },
     "[3,4] perm[3] perm[3] [3] | [3,4] perm[3] perm[3] [] | [3,4,2] perm[2] perm[2] [2,2] | int[2,2] perm[2] perm[2] "
     "int[1]"},
    {"Tensor.index_put, accumulated", "a.index_put((b, c), d, accumulate=True)",
     [](T a, T b, T c, T d) {
       return index_put(a, {b, c}, d, true);
     },
     "[3,4] below3[9] below4[9] [9] | [3,4,2] below3[5] below4[5] [2]"},
    {"Tensor.index_put_",
     "b = torch.zeros(3, 4, dtype=a.dtype)\nb[1:, ::3] = a\nreturn b",
     [](T a) {
       const Tensor y = zeros({3, 4}, {.dtype = a.dtype(), .device = a.device()});
       index_put_(y, {Slice{1}, Slice{{}, {}, 3}}, a);
       return y;
     },
     "[2,2] | [2] | int[]",
     {.gradient = false, .call = "index_put_(y, {Slice{1}, Slice{{}, {}, 3}}, a)"}},
};

static const Rows sorting{
    {"torch.sort", "torch.sort(a, stable=True)", [](T a) { return sort(a); },
     "distinct[9] | ties[4,9] | nan[20] | int[3,0] | bytes[2,2,5] | [] | [1]"},
    {"torch.sort, descending", "torch.sort(a, dim=0, descending=True, stable=True)",
     [](T a) { return sort(a, 0, true); }, "distinct[9] | ties[9,3] | nan[20] | [0,2] | int[7,2,2] | []"},
    {"torch.argsort",
     "torch.sort(a, stable=True)[1]",
     [](T a) { return argsort(a); },
     "ties[3,6] | [5] | int[4]",
     {.gradient = false}},
    {"torch.msort", "torch.msort(a)", [](T a) { return msort(a); }, "distinct[5,2] | nan[7] | int[4]"},
    {"torch.topk", "torch.topk(a, 3)", [](T a) { return topk(a, 3); },
     "distinct[9] | distinct[2,40] | perm[5] | [4,3]"},
    {"torch.topk, smallest", "torch.topk(a, 2, 0, largest=False)", [](T a) { return topk(a, 2, 0, false); },
     "distinct[9] | distinct[30,2] | perm[5]"},
    {"torch.kthvalue", "torch.kthvalue(a, 2, 0)", [](T a) { return kthvalue(a, 2, 0); },
     "distinct[9] | distinct[4,3] | perm[5]"},
    {"torch.unique",
     "return torch.unique(a, return_inverse=True, return_counts=True)",
     [](T a) {
       const UniqueResult u = unique(a);
       return std::tuple(u.output, u.inverse_indices, u.counts);
     },
     "ties[9] | int[3,7] | bytes[4] | [0] | []",
     {.gradient = false, .call = "unique(a)"}},
    {"torch.unique_consecutive",
     "return torch.unique_consecutive(a, return_inverse=True, return_counts=True)",
     [](T a) {
       const UniqueResult u = unique_consecutive(a);
       return std::tuple(u.output, u.inverse_indices, u.counts);
     },
     "ties[9] | int[3,7] | below2[20] | [0] | []",
     {.gradient = false, .call = "unique_consecutive(a)"}},
    {"torch.bincount", "torch.bincount(a, minlength=3)", [](T a) { return bincount(a, {}, 3); },
     "below5[20] | below2[3] | bytes[9] | below1[0]"},
    {"torch.bincount, weights",
     "torch.bincount(a, b)",
     [](T a, T b) { return bincount(a, b); },
     "below5[20] [20] | below3[9] int[9]",
     {.gradient = false, .half = false}},
    {"torch.searchsorted", "torch.searchsorted(a.sort()[0], b)",
     [](T a, T b) { return searchsorted(sort(a).values, b); },
     "ties[9] ties[2,5] | ties[2,9] ties[2,3] | perm[5] int[7] | [0] [3] | [4] []"},
    {"torch.bucketize", "torch.bucketize(a, b.sort()[0], right=True)",
     [](T a, T b) { return bucketize(a, sort(b).values, true); }, "ties[2,5] ties[9] | int[7] perm[5] | [] [4]"},
    {"F.one_hot", "F.one_hot(a, 5)", [](T a) { return one_hot(a, 5); },
     "below5[4] | below5[2,3] | below5[]  | below5[0]"},
    {"F.one_hot, as many as there are", "F.one_hot(a)", [](T a) { return one_hot(a); }, "perm[4] | perm[2,3]"},
};

static const Rows creating{
    {"torch.arange, start, end and step",
     "[torch.arange(2, 11, 3), torch.arange(1, 3), torch.arange(5, 0, -2), torch.arange(0.5, 2, 0.25)]",
     []() { return std::tuple(arange(2, 11, 3), arange(1, 3), arange(5, 0, -2), arange(0.5, 2, 0.25)); }},
    {"torch.arange, device",
     "(torch.arange(5), torch.arange(2, 11, 3), torch.arange(0, 1.5, 0.5))",
     [](T a) {
       const TensorOptions there{.device = a.device()};
       return std::tuple(arange(5, there), arange(2, 11, 3, there), arange(0, 1.5, 0.5, there));
     },
     "[1]",
     {.gradient = false, .call = "arange(5, {.device = device})"}},
    {"torch.linspace", "[torch.linspace(-1, 2, 7), torch.linspace(3, 3, 1), torch.linspace(0, 1, 0)]",
     []() { return std::tuple(linspace(-1, 2, 7), linspace(3, 3, 1), linspace(0, 1, 0)); }},
    {"torch.logspace", "[torch.logspace(-1, 2, 7), torch.logspace(0, 3, 4, base=2)]",
     []() { return std::tuple(logspace(-1, 2, 7), logspace(0, 3, 4, 2)); }},
    {"torch.tril_indices", "[torch.tril_indices(3, 4), torch.tril_indices(2, 2, -1)]",
     []() { return std::tuple(tril_indices(3, 4), tril_indices(2, 2, -1)); }},
    {"torch.triu_indices", "[torch.triu_indices(3, 4), torch.triu_indices(2, 2, 1)]",
     []() { return std::tuple(triu_indices(3, 4), triu_indices(2, 2, 1)); }},
    {"torch.eye", "[torch.eye(3), torch.eye(2, 4), torch.eye(3, 1), torch.eye(0)]",
     []() { return std::tuple(eye(3), eye(2, 4), eye(3, 1), eye(0)); }},
    {"torch.full_like",
     "torch.full_like(a, 3)",
     [](T a) { return full_like(a, 3); },
     "[2,3] | int[] | bytes[0]",
     {.gradient = false}},
};

namespace {

using Tensors = std::vector<Tensor>;

std::string each_within(const Tensor& y, double low, double high) {
  for (const double v : y.to_vector<double>()) {
    if (!(low <= v && v < high)) return "has a number out of range";
  }
  return "";
}

std::string no_two_alike(const Tensor& y) {
  const std::vector<std::int64_t> places = y.to_vector<std::int64_t>();
  return std::set<std::int64_t>(places.begin(), places.end()).size() == places.size() ? "" : "has a number twice";
}

}  // namespace

static const Rows drawing{
    {"torch.randint",
     "torch.randint(-3, 5, (50, 2))",
     []() {
       return randint(-3, 5, {50, 2});
     },
     "",
     {.check = [](const Tensors& y, const Tensors&) { return each_within(y[0], -3, 5); }}},
    {"torch.randint, device",
     "torch.randint(7, 8, (3,))",
     [](T a) { return randint(7, 8, {3}, {.device = a.device()}); },
     "[1]",
     {.gradient = false, .call = "randint(7, 8, {3}, {.device = device})"}},
    {"torch.randperm",
     "torch.randperm(40)",
     []() { return randperm(40); },
     "",
     {.check = [](const Tensors& y, const Tensors&) { return each_within(y[0], 0, 40) + no_two_alike(y[0]); }}},
    {"torch.bernoulli",
     "torch.bernoulli(a)",
     [](T a) { return bernoulli(a); },
     "prob[50] | prob[2,0] | prob[]",
     {.gradient = false,
      .check = [](const Tensors& y,
                  const Tensors&) { return std::string(equal(y[0] * y[0], y[0]) ? "" : "is not all 0 and 1"); }}},
    {"torch.multinomial",
     "torch.multinomial(a, 4)",
     [](T a) { return multinomial(a, 4); },
     "prob[9] | prob[1,4]",
     {.gradient = false,
      .check =
          [](const Tensors& y, const Tensors& x) {
            return each_within(y[0], 0, static_cast<double>(x[0].size(-1))) + no_two_alike(y[0]);
          }}},
    {"torch.multinomial, with replacement",
     "torch.multinomial(a, 40, replacement=True)",
     [](T a) { return multinomial(a, 40, true); },
     "prob[9] | prob[3,4]",
     {.gradient = false,
      .check = [](const Tensors& y,
                  const Tensors& x) { return each_within(y[0], 0, static_cast<double>(x[0].size(-1))); }}},
};

}  // namespace tern::test
