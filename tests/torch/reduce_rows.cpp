#include "rows.hpp"

namespace tern::test {

static const Rows more_reductions{
    {"torch.min", "torch.min(a)", [](T a) { return min(a); },
     "distinct[2,3] | ties[20] | [] | nan[9] | int[5] | bytes[3]"},
    {"torch.min, dim", "torch.min(a, 1, True)", [](T a) { return min(a, 1, true); },
     "distinct[2,3] | distinct[3,4,5] | [2,1] | [0,3] | int[2,3]"},
    {"torch.argmin", "torch.argmin(a)", [](T a) { return argmin(a); }, "[2,3] | [] | nan[9] | int[5]"},
    {"torch.argmin, dim", "torch.argmin(a, 0)", [](T a) { return argmin(a, 0); }, "[2,3] | [4] | nan[3,4] | []"},
    {"torch.amax", "torch.amax(a, (0, -1))",
     [](T a) {
       return amax(a, Shape{0, -1});
     },
     "[2,3,4] | ties[3,2,4] | int[2,3] | bytes[2,2,3] | [2,0,3]"},
    {"torch.amin", "torch.amin(a, (1,), keepdim=True)", [](T a) { return amin(a, Shape{1}, true); },
     "[2,3,4] | ties[3,9] | int[2,3] | [0,2]"},
    {"torch.median", "torch.median(a)", [](T a) { return median(a); },
     "[2,3] | [2,4] | [] | ties[9] | nan[9] | int[5]"},
    {"torch.median, dim", "torch.median(a, 1, True)", [](T a) { return median(a, 1, true); },
     "[2,3] | distinct[3,4,5] | [2,1] | [0,3] | nan[2,5]"},
    {"torch.mode", "torch.mode(a)", [](T a) { return mode(a); },
     "ties[3,9] | ties[2,3,5] | int[2,12] | bytes[5] | [2,4] | [1] | [] | [0,3]"},
    {"torch.mode, dim", "torch.mode(a, 0, True)", [](T a) { return mode(a, 0, true); }, "ties[9,4] | below5[16] | []"},
    {"torch.mode, values", "torch.mode(a, 1).values", [](T a) { return mode(a, 1).values; },
     "below5[3,50] | bytes[2,900]"},
    {"torch.quantile",
     "(torch.quantile(a, 0.3), torch.quantile(a, 0.5, keepdim=True))",
     [](T a) { return std::pair(quantile(a, 0.3), quantile(a, 0.5, {}, true)); },
     "distinct[2,3] | ties[9] | [] | nan[9] | [1]",
     {.call = "quantile(a, 0.3)"}},
    {"torch.quantile, dim",
     "(torch.quantile(a, torch.tensor([0.0, 0.1, 0.75, 1.0], dtype=a.dtype), 1), torch.quantile(a, 0.6, 0, True))",
     [](T a) {
       return std::pair(quantile(a, tensor({0.0, 0.1, 0.75, 1.0}, a.device()), 1), quantile(a, 0.6, 0, true));
     },
     "distinct[2,3] | distinct[3,7] | [2,1] | nan[3,5]",
     {.call = "quantile(a, b, 1)"}},
    {"torch.nanquantile",
     "(torch.nanquantile(a, 0.3), torch.nanquantile(a, torch.tensor([0.1, 0.75], dtype=a.dtype), -1))",
     [](T a) {
       return std::pair(nanquantile(a, 0.3), nanquantile(a, tensor({0.1, 0.75}, a.device()), -1));
     },
     "distinct[2,3] | [9] | nan[3,5]",
     {.call = "nanquantile(a, 0.3)"}},
    {"torch.aminmax",
     "torch.aminmax(a)",
     [](T a) { return std::tuple(aminmax(a).min, aminmax(a).max); },
     "[2,3] | ties[9] | [] | int[4]",
     {.gradient = false, .call = "aminmax(a)"}},
    {"torch.nansum", "torch.nansum(a, (0,))", [](T a) { return nansum(a, Shape{0}); }, "[2,3] | nan[5,4] | [0,2]"},
    {"torch.nanmean", "torch.nanmean(a, (0, -1), True)",
     [](T a) {
       return nanmean(a, Shape{0, -1}, true);
     },
     "[2,3] | nan[5,4] | nan[2,2,2]"},
    {"torch.prod", "torch.prod(a)", [](T a) { return prod(a); }, "[2,3] | ties[5] | [] | [0] | int[5] | bytes[3]"},
    {"torch.prod, dim", "torch.prod(a, 1, True)", [](T a) { return prod(a, 1, true); },
     "[2,3] | ties[4,3,2] | [2,1] | [3,0] | [0,3] | int[2,3]"},
    {"torch.var", "torch.var(a)", [](T a) { return var(a); }, "[2,3] | [9] | [2] | nan[7]"},
    {"torch.var, dims", "torch.var(a, (0, 2), unbiased=False, keepdim=True)",
     [](T a) {
       return var(a, Shape{0, 2}, 0, true);
     },
     "[2,3,4] | [1,3,1] | [2,0,3]"},
    {"torch.var, correction", "torch.var(a, (1,), correction=2)", [](T a) { return var(a, Shape{1}, 2); },
     "[2,5] | [3,4,2]"},
    {"torch.std", "torch.std(a)", [](T a) { return std(a); }, "[2,3] | [9] | [2]"},
    {"torch.std, dims", "torch.std(a, (0,), unbiased=False)", [](T a) { return std(a, Shape{0}, 0); },
     "[2,3] | [1,3] | ties[2,40] | [3,0]"},
    {"torch.var_mean",
     "torch.var_mean(a, (1,))",
     [](T a) { return std::tuple(var_mean(a, Shape{1}).var, var_mean(a, Shape{1}).mean); },
     "[2,3] | [3,4,2]",
     {.call = "var_mean(a, {1})"}},
    {"torch.std_mean",
     "torch.std_mean(a, (0,), True)",
     [](T a) { return std::tuple(std_mean(a, Shape{0}).var, std_mean(a, Shape{0}).mean); },
     "[2,3] | [3,4,2]",
     {.call = "std_mean(a, {0})"}},
    {"torch.norm", "torch.norm(a)", [](T a) { return norm(a); }, "[2,3] | [] | [0] | nan[5] | ties[2]"},
    {"torch.norm, p and dims",
     "[torch.norm(a, p, 1) for p in (1, 2, 3, 1.5, 0.5, math.inf, -math.inf)]",
     [](T a) {
       std::vector<Tensor> all;
       for (const double p : {1.0, 2.0, 3.0, 1.5, 0.5, HUGE_VAL, -HUGE_VAL}) all.push_back(norm(a, p, Shape{1}));
       return all;
     },
     "[2,3] | ties[4,3] | [2,1] | [0,3]",
     {.looser = 10, .call = "norm(a, p, {1})"}},
    {"torch.linalg.vector_norm", "torch.linalg.vector_norm(a, 3, (0, 2), True)",
     [](T a) {
       return linalg::vector_norm(a, 3, Shape{0, 2}, true);
     },
     "[2,3,4] | [1,2,2]"},
    {"torch.linalg.vector_norm, 0",
     "torch.linalg.vector_norm(a, 0)",
     [](T a) { return linalg::vector_norm(a, 0); },
     "ties[9] | [0] | nan[4]",
     {.gradient = false}},
    {"torch.logsumexp", "torch.logsumexp(a, (0, -1))",
     [](T a) {
       return logsumexp(a, Shape{0, -1});
     },
     "[2,3] | [3,4,2] | nan[2,2,2] | [2,0,3]"},
    {"torch.all",
     "(torch.all(a), torch.all(a > 0))",
     [](T a) { return std::tuple(all(a), all(gt(a, 0))); },
     "ties[3] | [2,3] | [0] | [] | pos[9] | int[2] | mask[4]",
     {.gradient = false, .call = "all(a)"}},
    {"torch.all, dim",
     "torch.all(a, 1, True)",
     [](T a) { return all(a, Shape{1}, true); },
     "ties[4,2] | [2,0] | nan[3,2] | mask[5,2]",
     {.gradient = false}},
    {"torch.any",
     "(torch.any(a), torch.any(a > 1))",
     [](T a) { return std::tuple(any(a), any(gt(a, 1))); },
     "ties[3] | [2,3] | [0] | [] | pos[9] | int[2] | mask[4]",
     {.gradient = false, .call = "any(a)"}},
    {"torch.any, dim",
     "torch.any(a, 0)",
     [](T a) { return any(a, Shape{0}); },
     "ties[2,4] | [0,2] | nan[2,3] | mask[2,5]",
     {.gradient = false}},
    {"torch.count_nonzero",
     "torch.count_nonzero(a, (0, 1))",
     [](T a) {
       return count_nonzero(a, Shape{0, 1});
     },
     "ties[3,4] | nan[2,3,2] | int[2,9] | [0,2]",
     {.gradient = false}},
};

static const Rows cumulative{
    {"torch.cumsum", "torch.cumsum(a, 1)", [](T a) { return cumsum(a, 1); },
     "[2,3] | [3,40] | [2,5,3] | [0,3] | [3,0] | nan[2,4] | int[2,3] | bytes[2,40]"},
    {"torch.cumprod", "torch.cumprod(a, 0)", [](T a) { return cumprod(a, 0); },
     "[3,2] | ties[6] | ties[4,3,2] | [] | [0,3] | int[3,2]"},
    {"torch.cummax", "torch.cummax(a, 1)", [](T a) { return cummax(a, 1); },
     "[2,3] | ties[3,40] | ties[2,5,3] | int[2,3] | [0,3]"},
    {"torch.cummin", "torch.cummin(a, 0)", [](T a) { return cummin(a, 0); },
     "[3,2] | ties[40] | nan[4,2] | [] | int[3,2]"},
};

static const Rows functions_of_two_tensors{
    {"torch.pow, tensors",
     "torch.pow(a, b)",
     [](T a, T b) { return pow(a, b); },
     "pos[2,3] [3] | [5] ties[5] | ties[9] ties[9] | [] [] | [0,3] [3] | int[5] below5[5] | pos[3] int[3] | bytes[3] "
     "bytes[3]",
     {.half = false}},
    {"torch.pow, number and tensor",
     "(torch.pow(2, a), torch.pow(2.5, a), torch.pow(0, a))",
     [](T a) { return std::tuple(pow(2, a), pow(2.5, a), pow(0, a)); },
     "[2,3] | ties[9] | [] | below5[4]",
     {.call = "pow(2, a)"}},
    {"torch.atan2", "torch.atan2(a, b)", [](T a, T b) { return atan2(a, b); },
     "[2,3] [3] | [] [] | nan[9] [9] | int[4] int[4] | [0] [1]"},
    {"torch.hypot", "torch.hypot(a, b)", [](T a, T b) { return hypot(a, b); }, "[2,3] [3] | [] [] | nan[9] [9]"},
    {"torch.fmod", "torch.fmod(a, b)", [](T a, T b) { return fmod(a, b); },
     "[2,3] pos[3] | distinct[9] distinct[9] | [] [] | nan[9] pos[9] | int[4] pos[4]"},
    {"torch.fmod, number", "torch.fmod(a, -1.5)", [](T a) { return fmod(a, -1.5); }, "[2,3] | [] | nan[9]"},
    {"torch.remainder", "torch.remainder(a, b)", [](T a, T b) { return remainder(a, b); },
     "[2,3] pos[3] | distinct[9] distinct[9] | [] [] | nan[9] pos[9] | int[4] pos[4]"},
    {"torch.remainder, number",
     "(torch.remainder(a, -1.5), torch.remainder(a, 2))",
     [](T a) { return std::tuple(remainder(a, -1.5), remainder(a, 2)); },
     "[2,3] | [] | nan[9] | int[9]",
     {.call = "remainder(a, -1.5)"}},
    {"torch.floor_divide",
     "torch.floor_divide(a, b)",
     [](T a, T b) { return floor_divide(a, b); },
     "[2,3] pos[3] | distinct[9] distinct[9] | [] [] | nan[9] nan[9] | int[4] pos[4]",
     {.gradient = false}},
    {"torch.floor_divide, number",
     "(torch.floor_divide(a, -1.5), torch.floor_divide(a, -2))",
     [](T a) { return std::tuple(floor_divide(a, -1.5), floor_divide(a, -2)); },
     "[2,3] | [] | nan[9] | int[9]",
     {.gradient = false, .call = "floor_divide(a, 2)"}},
    {"torch.lerp",
     "(torch.lerp(a, b, 0.25), torch.lerp(a, b, 0.75))",
     [](T a, T b) { return std::tuple(lerp(a, b, 0.25), lerp(a, b, 0.75)); },
     "[2,3] [2,3] | [] [] | [2,3] [3] | [0,3] [3]",
     {.call = "lerp(a, b, 0.25)"}},
    {"torch.lerp, tensor", "torch.lerp(a, b, c)", [](T a, T b, T c) { return lerp(a, b, c); },
     "[2,3] [2,3] [3] | [3] [3] []"},
    {"torch.addcmul", "torch.addcmul(a, b, c, value=0.5)", [](T a, T b, T c) { return addcmul(a, b, c, 0.5); },
     "[2,3] [3] [2,1] | [] [] [] | [0,3] [3] [1]"},
    {"torch.addcdiv", "torch.addcdiv(a, b, c, value=2)", [](T a, T b, T c) { return addcdiv(a, b, c, 2); },
     "[2,3] [3] pos[2,1] | [] [] pos[] | [0,3] [3] [1]"},
};

// PyTorch's gradient of hardsigmoid is off by 3e-8.
static const Rows activations{
    {"F.hardsigmoid",
     "F.hardsigmoid(3 * a)",
     [](T a) { return hardsigmoid(a * 3.0); },
     "[2,3] | [] | nan[9] | [0,3]",
     {.looser = 1000, .only_float64 = true, .call = "hardsigmoid(a)"}},
    {"F.softsign", "F.softsign(a)", [](T a) { return softsign(a); }, "[2,3] | [] | nan[9] | [0,3] | int[5]"},
    {"F.tanhshrink", "F.tanhshrink(a)", [](T a) { return tanhshrink(a); }, "[2,3] | [] | nan[9] | [0,3] | int[5]"},
};

static const Rows losses{
    {"F.l1_loss",
     "[F.l1_loss(a, b, reduction=r) for r in ('mean', 'sum', 'none')]",
     [](T a, T b) { return std::tuple(l1_loss(a, b), l1_loss(a, b, Reduction::sum), l1_loss(a, b, Reduction::none)); },
     "[2,3] [2,3] | [] [] | [0,3] [0,3] | ties[9] ties[9]",
     {.call = "l1_loss(a, b)"}},
    {"F.smooth_l1_loss",
     "[F.smooth_l1_loss(a, b), F.smooth_l1_loss(a, b, reduction='none', beta=0.5)]",
     [](T a, T b) { return std::tuple(smooth_l1_loss(a, b), smooth_l1_loss(a, b, Reduction::none, 0.5)); },
     "[2,3] [2,3] | [] [] | [0,3] [0,3] | ties[9] ties[9]",
     {.call = "smooth_l1_loss(a, b, Reduction::mean, 0.5)"}},
    {"F.smooth_l1_loss, beta 0", "F.smooth_l1_loss(a, b, reduction='sum', beta=0)",
     [](T a, T b) { return smooth_l1_loss(a, b, Reduction::sum, 0); }, "[2,3] [2,3] | [] []"},
    {"F.huber_loss",
     "[F.huber_loss(a, b), F.huber_loss(a, b, reduction='none', delta=0.5)]",
     [](T a, T b) { return std::tuple(huber_loss(a, b), huber_loss(a, b, Reduction::none, 0.5)); },
     "[2,3] [2,3] | [] [] | [0,3] [0,3] | ties[9] ties[9]",
     {.call = "huber_loss(a, b, Reduction::mean, 0.5)"}},
    {"F.binary_cross_entropy",
     "[F.binary_cross_entropy(a, b, c.detach()), F.binary_cross_entropy(a, b, reduction='none')]",
     [](T a, T b, T c) {
       return std::tuple(binary_cross_entropy(a, b, c.detach()), binary_cross_entropy(a, b, {}, Reduction::none));
     },
     "prob[2,3] prob[2,3] pos[3] | prob[] prob[] pos[] | prob[0,3] prob[0,3] pos[3]",
     {.call = "binary_cross_entropy(a, b, weight)"}},
    {"F.binary_cross_entropy, edges",
     "[F.binary_cross_entropy(a.sign().abs(), b.sign().abs(), reduction='none'), F.binary_cross_entropy(0 * a, "
     "b.sign().abs())]",
     [](T a, T b) {
       return std::tuple(binary_cross_entropy(abs(sign(a)), abs(sign(b)), {}, Reduction::none),
                         binary_cross_entropy(a * 0.0, abs(sign(b))));
     },
     "ties[20] ties[20]",
     {.half = false, .call = "binary_cross_entropy(a, b)"}},
    {"F.binary_cross_entropy_with_logits",
     "[F.binary_cross_entropy_with_logits(a, b, c.detach(), pos_weight=d.detach()), "
     "F.binary_cross_entropy_with_logits(50 * a, b, "
     "reduction='none')]",
     [](T a, T b, T c, T d) {
       return std::tuple(binary_cross_entropy_with_logits(a, b, c.detach(), Reduction::mean, d.detach()),
                         binary_cross_entropy_with_logits(a * 50, b, {}, Reduction::none));
     },
     "[2,3] prob[2,3] pos[3] pos[3] | [] prob[] pos[] pos[] | [0,3] prob[0,3] pos[3] pos[3]",
     {.call = "binary_cross_entropy_with_logits(a, b, weight, Reduction::mean, pos_weight)"}},
    {"F.nll_loss",
     "[F.nll_loss(a, b), F.nll_loss(a, b, c.detach(), reduction='none'), F.nll_loss(a, b, c.detach(), ignore_index=2), "
     "F.nll_loss(a, b, c.detach(), reduction='sum')]",
     [](T a, T b, T c) {
       return std::tuple(nll_loss(a, b), nll_loss(a, b, {.weight = c.detach(), .reduction = Reduction::none}),
                         nll_loss(a, b, {.weight = c.detach(), .ignore_index = 2}),
                         nll_loss(a, b, {.weight = c.detach(), .reduction = Reduction::sum}));
     },
     "[7,5] below5[7] pos[5] | [2,5,3] below5[2,3] pos[5] | [2,5,3,4] below5[2,3,4] pos[5]",
     {.call = "nll_loss(a, b, {.weight = weight})"}},
    {"F.nll_loss, one sample", "F.nll_loss(a, b)", [](T a, T b) { return nll_loss(a, b); }, "[5] below5[]"},
    {"F.cross_entropy, more dimensions",
     "[F.cross_entropy(a, b), F.cross_entropy(a, b, c.detach(), reduction='none', ignore_index=1, "
     "label_smoothing=0.25)]",
     [](T a, T b, T c) {
       return std::tuple(
           cross_entropy(a, b),
           cross_entropy(
               a, b, {.weight = c.detach(), .ignore_index = 1, .reduction = Reduction::none, .label_smoothing = 0.25}));
     },
     "[7,5] below5[7] pos[5] | [2,5,3] below5[2,3] pos[5] | [2,5,3,4] below5[2,3,4] pos[5]",
     {.call = "cross_entropy(a, b)"}},
    {"F.cross_entropy, one sample",
     "[F.cross_entropy(a, b), F.cross_entropy(a, b, reduction='none')]",
     [](T a, T b) { return std::tuple(cross_entropy(a, b), cross_entropy(a, b, {.reduction = Reduction::none})); },
     "[5] below5[]",
     {.call = "cross_entropy(a, b)"}},
    {"F.cross_entropy, probabilities",
     "[F.cross_entropy(a, b), F.cross_entropy(a, b, c, label_smoothing=0.25), F.cross_entropy(a, b, c, "
     "reduction='none'), F.cross_entropy(a, b, reduction='sum')]",
     [](T a, T b, T c) {
       return std::tuple(cross_entropy(a, b), cross_entropy(a, b, {.weight = c, .label_smoothing = 0.25}),
                         cross_entropy(a, b, {.weight = c, .reduction = Reduction::none}),
                         cross_entropy(a, b, {.reduction = Reduction::sum}));
     },
     "[7,5] prob[7,5] pos[5] | [2,5,3] prob[2,5,3] pos[5] | [2,5,3,4] prob[2,5,3,4] pos[5] | [5] prob[5] pos[5]",
     {.call = "cross_entropy(a, b)"}},
    {"F.kl_div",
     "[F.kl_div(a, b), F.kl_div(a, b, reduction='batchmean'), F.kl_div(a, b, reduction='none'), F.kl_div(a, b.log(), "
     "reduction='sum', log_target=True)]",
     [](T a, T b) {
       return std::tuple(kl_div(a, b), kl_div(a, b, Reduction::batchmean), kl_div(a, b, Reduction::none),
                         kl_div(a, log(b), Reduction::sum, true));
     },
     "[2,3] prob[2,3] | [4] dist[4]",
     {.call = "kl_div(a, b, Reduction::batchmean)"}},
    {"F.kl_div, zeros", "F.kl_div(a, b.detach().clamp(0), reduction='none')",
     [](T a, T b) { return kl_div(a, clamp(b.detach(), 0), Reduction::none); }, "[9] ties[9]"},
    {"F.poisson_nll_loss",
     "[F.poisson_nll_loss(a, b), F.poisson_nll_loss(a.abs(), b, log_input=False, full=True, reduction='none')]",
     [](T a, T b) {
       return std::tuple(poisson_nll_loss(a, b), poisson_nll_loss(abs(a), b, false, true, 1e-8, Reduction::none));
     },
     "[2,3] pos[2,3] | [] pos[]",
     {.call = "poisson_nll_loss(a, b)"}},
    {"F.gaussian_nll_loss",
     "[F.gaussian_nll_loss(a, b, c), F.gaussian_nll_loss(a, b, c, full=True, eps=1, reduction='none')]",
     [](T a, T b, T c) {
       return std::tuple(gaussian_nll_loss(a, b, c), gaussian_nll_loss(a, b, c, true, 1, Reduction::none));
     },
     "[2,3] [2,3] pos[2,3] | [2,3] [2,3] pos[2] | [2,3] [2,3] pos[2,1]",
     {.call = "gaussian_nll_loss(a, b, var)"}},
    {"F.hinge_embedding_loss",
     "[F.hinge_embedding_loss(a, 2 * (b > 0) - 1), F.hinge_embedding_loss(a, 2 * (b > 0) - 1, margin=0.5, "
     "reduction='none')]",
     [](T a, T b) {
       const Tensor target = gt(b, 0).to(DType::int64) * 2 - 1;
       return std::tuple(hinge_embedding_loss(a, target), hinge_embedding_loss(a, target, 0.5, Reduction::none));
     },
     "[2,3] [2,3] | [] []",
     {.call = "hinge_embedding_loss(a, b)"}},
    {"F.soft_margin_loss", "F.soft_margin_loss(a, b.sign().detach())",
     [](T a, T b) { return soft_margin_loss(a, sign(b).detach()); }, "[2,3] [2,3] | [] []"},
    {"F.margin_ranking_loss",
     "[F.margin_ranking_loss(a, b, c.sign()), F.margin_ranking_loss(a, b, c.sign(), margin=0.5, reduction='none')]",
     [](T a, T b, T c) {
       return std::tuple(margin_ranking_loss(a, b, sign(c)), margin_ranking_loss(a, b, sign(c), 0.5, Reduction::none));
     },
     "[2,3] [2,3] [2,3] | [] [] []",
     {.call = "margin_ranking_loss(a, b, c)"}},
    {"F.cosine_similarity",
     "(F.cosine_similarity(a, b), F.cosine_similarity(a, b, -1), F.cosine_similarity(0 * a, b))",
     [](T a, T b) {
       return std::tuple(cosine_similarity(a, b), cosine_similarity(a, b, -1), cosine_similarity(a * 0.0, b));
     },
     "[2,3] [2,3] | [2,3,4] [2,3,4] | [2,3] [1,3]",
     {.half = false, .call = "cosine_similarity(a, b)"}},
    {"F.pairwise_distance",
     "(F.pairwise_distance(a, b), F.pairwise_distance(a, b, 1, keepdim=True))",
     [](T a, T b) { return std::tuple(pairwise_distance(a, b), pairwise_distance(a, b, 1, 1e-6, true)); },
     "[2,3] [2,3] | [3] [3] | [4,3] [1,3]",
     {.call = "pairwise_distance(a, b)"}},
    {"F.cosine_embedding_loss",
     "[F.cosine_embedding_loss(a, b, c.sign()), F.cosine_embedding_loss(a, b, c.sign(), margin=0.25, "
     "reduction='none')]",
     [](T a, T b, T c) {
       return std::tuple(cosine_embedding_loss(a, b, sign(c)),
                         cosine_embedding_loss(a, b, sign(c), 0.25, Reduction::none));
     },
     "[4,3] [4,3] [4] | [3] [3] []",
     {.call = "cosine_embedding_loss(a, b, c)"}},
    {"F.triplet_margin_loss",
     "[F.triplet_margin_loss(a, b, c), F.triplet_margin_loss(a, b, c, margin=0.5, p=1, swap=True, reduction='none')]",
     [](T a, T b, T c) {
       return std::tuple(
           triplet_margin_loss(a, b, c),
           triplet_margin_loss(a, b, c, {.margin = 0.5, .p = 1, .swap = true, .reduction = Reduction::none}));
     },
     "[4,3] [4,3] [4,3] | [3] [3] [3]",
     {.call = "triplet_margin_loss(a, b, c)"}},
    {"nn.NLLLoss", "nn.NLLLoss(c.detach())(a, b)", [](T a, T b, T c) { return NLLLoss({.weight = c.detach()})(a, b); },
     "[7,5] below5[7] pos[5]"},
    {"nn.L1Loss", "nn.L1Loss(reduction='sum')(a, b)", [](T a, T b) { return L1Loss(Reduction::sum)(a, b); },
     "[2,3] [2,3]"},
    {"nn.SmoothL1Loss", "nn.SmoothL1Loss(beta=0.5)(a, b)",
     [](T a, T b) { return SmoothL1Loss(Reduction::mean, 0.5)(a, b); }, "[2,3] [2,3]"},
    {"nn.HuberLoss", "nn.HuberLoss(delta=0.5)(a, b)", [](T a, T b) { return HuberLoss(Reduction::mean, 0.5)(a, b); },
     "[2,3] [2,3]"},
    {"nn.BCELoss", "nn.BCELoss(c.detach())(a, b)", [](T a, T b, T c) { return BCELoss(c.detach())(a, b); },
     "prob[2,3] prob[2,3] pos[3]"},
    {"nn.BCEWithLogitsLoss", "nn.BCEWithLogitsLoss(pos_weight=c.detach())(a, b)",
     [](T a, T b, T c) { return BCEWithLogitsLoss({}, Reduction::mean, c.detach())(a, b); }, "[2,3] prob[2,3] pos[3]"},
    {"nn.KLDivLoss", "nn.KLDivLoss(reduction='batchmean')(a, b)",
     [](T a, T b) { return KLDivLoss(Reduction::batchmean)(a, b); }, "[2,3] prob[2,3]"},
    {"nn.PoissonNLLLoss", "nn.PoissonNLLLoss(full=True)(a, b)",
     [](T a, T b) { return PoissonNLLLoss(true, true)(a, b); }, "[2,3] pos[2,3]"},
    {"nn.GaussianNLLLoss", "nn.GaussianNLLLoss(full=True)(a, b, c)",
     [](T a, T b, T c) { return GaussianNLLLoss(true)(a, b, c); }, "[2,3] [2,3] pos[2,3]"},
    {"nn.HingeEmbeddingLoss", "nn.HingeEmbeddingLoss(margin=0.5)(a, b.sign())",
     [](T a, T b) { return HingeEmbeddingLoss(0.5)(a, sign(b)); }, "[2,3] [2,3]"},
    {"nn.SoftMarginLoss", "nn.SoftMarginLoss()(a, b.sign().detach())",
     [](T a, T b) { return SoftMarginLoss()(a, sign(b).detach()); }, "[2,3] [2,3]"},
    {"nn.MarginRankingLoss", "nn.MarginRankingLoss(0.5)(a, b, c.sign())",
     [](T a, T b, T c) { return MarginRankingLoss(0.5)(a, b, sign(c)); }, "[4] [4] [4]"},
    {"nn.CosineEmbeddingLoss", "nn.CosineEmbeddingLoss(0.25)(a, b, c.sign())",
     [](T a, T b, T c) { return CosineEmbeddingLoss(0.25)(a, b, sign(c)); }, "[4,3] [4,3] [4]"},
    {"nn.TripletMarginLoss", "nn.TripletMarginLoss(swap=True)(a, b, c)",
     [](T a, T b, T c) { return TripletMarginLoss({.swap = true})(a, b, c); }, "[4,3] [4,3] [4,3]"},
    {"nn.CosineSimilarity", "nn.CosineSimilarity(0)(a, b)", [](T a, T b) { return CosineSimilarity(0)(a, b); },
     "[4,3] [4,3]"},
    {"nn.PairwiseDistance", "nn.PairwiseDistance(1)(a, b)", [](T a, T b) { return PairwiseDistance(1)(a, b); },
     "[4,3] [4,3]"},
};

}  // namespace tern::test
