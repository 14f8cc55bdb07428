#!/usr/bin/env python3
"""Writes docs/from-pytorch.md from the rows in tests/torch/*_rows.cpp and tests/unary_cases.hpp, and from ABSENT below;
table.py --check says whether it is as it would be written."""
import pathlib
import re
import sys

TESTS = pathlib.Path(__file__).resolve().parent
DOCS = TESTS.parents[1] / "docs" / "from-pytorch.md"

# What PyTorch has and tern has not, names that belong together on a line, and after a colon what to use instead. What has
# a row is left out.
ABSENT = """
torch.bool: uint8
torch.int8, torch.int16, torch.int32: uint8, int64
torch.float16, torch.bfloat16, torch.autocast, torch.cuda.amp.GradScaler
torch.complex64, torch.view_as_real, torch.polar, torch.fft.fft, torch.stft
torch.compile, torch.jit.script, torch.jit.trace, torch.fx.symbolic_trace
torch.onnx.export: onnx::save
torch.func.vmap, torch.func.jvp, torch.autograd.functional.jacobian, torch.autograd.functional.hessian
torch.save: save_safetensors
torch.load: load_torch, load_safetensors
torch.sparse_coo_tensor, torch.nested.nested_tensor, torch.quantize_per_tensor
torch.distributed.init_process_group, nn.DataParallel, nn.parallel.DistributedDataParallel
torch.profiler.profile, torch.utils.tensorboard.SummaryWriter
torch.set_default_dtype, torch.set_default_device: the dtype and the device in the options
torch.set_num_threads, torch.get_num_threads: OMP_NUM_THREADS in the environment
torch.use_deterministic_algorithms: what tern computes always is
torch.is_tensor, torch.numel: a.numel()
torch.reshape, torch.flatten, torch.transpose, torch.permute, torch.t, torch.squeeze, torch.unsqueeze, torch.narrow, torch.select, torch.clone: the functions of a tensor
torch.ravel, Tensor.ravel: a.flatten()
torch.asarray, torch.as_tensor: tensor
torch.logspace: pow(10, linspace(...))
torch.index_copy, torch.index_fill, torch.masked_scatter, torch.put, Tensor.put_
torch.tensor_split, torch.hsplit, torch.vsplit, torch.dsplit, torch.dstack, torch.column_stack, torch.row_stack
torch.rot90, torch.diff, torch.trapezoid, torch.gradient, torch.tril_indices, torch.triu_indices
torch.histc, torch.histogram, torch.nanmedian
torch.cov, torch.corrcoef, torch.cdist, torch.cross, torch.kron, torch.trace, torch.vdot, torch.inner, torch.addmv, torch.addr, torch.addbmm, torch.chain_matmul
torch.linalg.norm, torch.linalg.matrix_norm: linalg::vector_norm
torch.linalg.inv, torch.linalg.det, torch.linalg.solve, torch.linalg.svd, torch.linalg.qr, torch.linalg.eigh, torch.linalg.cholesky, torch.inverse, torch.det
torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor, torch.bitwise_not, torch.bitwise_left_shift
torch.lgamma, torch.digamma, torch.erfinv, torch.i0, torch.special.expit, torch.xlogy, torch.logit, torch.sinc, torch.nan_to_num
torch.logaddexp, torch.fmax, torch.fmin, torch.copysign, torch.heaviside, torch.nextafter, torch.ldexp, torch.float_power, torch.gcd, torch.lcm
torch.block_diag, torch.diag_embed, torch.diagflat, torch.cartesian_prod, torch.combinations, torch.vander, torch.renorm
torch.logcumsumexp, torch.poisson, torch.normal, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_, Tensor.log_normal_
Tensor.tanh_, Tensor.sigmoid_, Tensor.abs_, Tensor.neg_, Tensor.log_, Tensor.lerp_, Tensor.addcmul_, Tensor.addcdiv_: a.copy_(tanh(a))
Tensor.scatter_, Tensor.scatter_add_, Tensor.index_add_, Tensor.index_fill_, Tensor.index_copy_, Tensor.squeeze_, Tensor.unsqueeze_, Tensor.t_: a.copy_(scatter(a, ...))
Tensor.half, Tensor.bool, Tensor.int, Tensor.char, Tensor.short, Tensor.type, Tensor.type_as, Tensor.numpy: a.to(dtype), a.to_vector<T>()
Tensor.unfold, Tensor.resize_, Tensor.share_memory_, Tensor.pin_memory, Tensor.is_pinned, Tensor.apply_, Tensor.map_
nn.Parameter: a tensor that requires grad, named in members()
nn.Conv3d, nn.ConvTranspose3d, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d, nn.BatchNorm3d, nn.Dropout3d
nn.Conv1d, nn.ConvTranspose1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d, nn.BatchNorm1d, nn.Dropout1d, nn.InstanceNorm1d: those of two dimensions, with a height of 1
nn.LazyLinear, nn.LazyConv2d, nn.LPPool2d, nn.FractionalMaxPool2d, nn.MaxUnpool2d, nn.Fold, nn.Unfold, F.fold, F.unfold
nn.ReflectionPad3d, nn.ReplicationPad3d, nn.ConstantPad3d: pad
nn.PReLU, nn.RReLU, nn.GLU, nn.CELU, nn.Softmin, nn.Softmax2d, nn.Threshold, nn.Hardtanh, F.glu, F.celu, F.prelu, F.rrelu, F.softmin, F.gumbel_softmax
nn.LocalResponseNorm, nn.SyncBatchNorm, F.local_response_norm, F.normalize
nn.RNN, nn.RNNCell, nn.LSTMCell, nn.GRUCell, nn.utils.rnn.pack_padded_sequence, nn.utils.rnn.pad_sequence
nn.Transformer, nn.TransformerEncoder, nn.TransformerEncoderLayer, nn.TransformerDecoder, nn.TransformerDecoderLayer: MultiheadAttention
nn.Identity, nn.Bilinear, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle, nn.AlphaDropout, nn.FeatureAlphaDropout, F.alpha_dropout, F.bilinear
nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d: Upsample
F.grid_sample, F.affine_grid
nn.CTCLoss, nn.MultiLabelMarginLoss, nn.MultiLabelSoftMarginLoss, nn.MultiMarginLoss, nn.TripletMarginWithDistanceLoss, nn.AdaptiveLogSoftmaxWithLoss, F.ctc_loss, F.multi_margin_loss, F.multilabel_margin_loss, F.multilabel_soft_margin_loss
nn.ParameterList, nn.ParameterDict
nn.Module.cuda, nn.Module.cpu, nn.Module.double, nn.Module.float, nn.Module.half: model.to(...)
nn.Module.register_buffer, nn.Module.register_parameter, nn.Module.add_module: members()
nn.Module.get_submodule, nn.Module.get_parameter, nn.Module.named_parameters(recurse=False)
nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm, nn.utils.weight_norm, nn.utils.spectral_norm, nn.utils.prune.l1_unstructured
nn.init.sparse_, nn.init.dirac_
optim.LBFGS, optim.SparseAdam, optim.Rprop, optim.ASGD
optim.Optimizer.add_param_group
optim.swa_utils.AveragedModel: AveragedModel, an exponential average with a warm-up
optim.swa_utils.SWALR, lr_scheduler.CyclicLR, lr_scheduler.CosineAnnealingWarmRestarts, lr_scheduler.MultiplicativeLR, lr_scheduler.ConstantLR, lr_scheduler.PolynomialLR, lr_scheduler.ChainedScheduler: LambdaLR
utils.data.IterableDataset, utils.data.Subset, utils.data.random_split, utils.data.WeightedRandomSampler, utils.data.BatchSampler: a Dataset of one's own
torch.autograd.set_grad_enabled, torch.enable_grad, torch.inference_mode, torch.set_grad_enabled: NoGradGuard
torch.autograd.gradcheck, torch.autograd.profiler.profile, torch.autograd.graph.saved_tensors_hooks
"""

# The functions in tests/unary_cases.hpp whose PyTorch name the row's Python does not begin with.
PYTHON = {"-x": "torch.neg", "x**": "torch.pow"}

HEAD = """# From PyTorch to tern

What PyTorch calls so, and how tern says it of tensors `a`, `b`, ...: {same} names are the same in value, gradient, dtype
and shape, {differ} differ as said, {absent} are listed as absent. Each line but the absent ones is a row of
`tests/torch` or of `tests/unary_cases.hpp`, which python3-torch and tern evaluate on the same random inputs, on every
device, in float64, float32, bfloat16 and float16. `tests/torch/table.py` makes this page from the rows.

Everywhere: there is no bool, a mask is uint8 of 0 and 1. Several sizes or dimensions are `{{2, 3}}`. What PyTorch takes by
keyword are fields: `{{.stride = 2}}`. All is in the namespace `tern`, that of `torch.nn` and `torch.nn.functional` too;
`torch.cuda` is `tern::cuda`.
"""


def closing(text, at):
    """Where what opens at `at` closes."""
    depth = 0
    while True:
        raw = re.compile(r'R"(\w*)\(').match(text, at)
        if raw:
            at = text.index(f'){raw[1]}"', at) + len(raw[1]) + 1
        elif text[at] in "\"'":
            quote = text[at]
            at += 1
            while text[at] != quote:
                at += 2 if text[at] == "\\" else 1
        elif text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        if depth == 0:
            return at
        at += 1


def parts(text):
    """What stands between the commas of {...}."""
    result, begin, at = [], 1, 1
    while at < len(text) - 1:
        if text[at] == ",":
            result.append(text[begin:at])
            begin = at + 1
        elif text[at] in "([{\"'R":
            at = closing(text, at)
        at += 1
    return [part.strip() for part in [*result, text[begin:-1]] if part.strip()]


def string(text):
    """The value of string literals side by side."""
    return "".join(eval(literal) for literal in re.findall(r'"(?:[^"\\]|\\.)*"', text))


def rows(path):
    """(family, name, tern's way, how it differs) of each row of a file."""
    text = re.sub(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*', lambda match: match[1] or "", path.read_text())
    for head in re.finditer(r"static const Rows (\w+)\{", text):
        begin = head.end() - 1
        for row in parts(text[begin:closing(text, begin) + 1]):
            fields = parts(row)
            options = dict(re.findall(r'\.(call|differs)\s*=\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', "".join(fields[4:])))
            body = re.fullmatch(r"\[\](?:\([^)]*\))?\s*\{\s*return ([^;]*);\s*\}", fields[2])
            call = string(options["call"]) if "call" in options else body and " ".join(body[1].split())
            name = string(fields[0])
            if not call:
                sys.exit(f"{path.name}: {name} is more than an expression, and says no .call")
            yield head[1].replace("_", " ").capitalize(), name, call, string(options.get("differs", ""))


def unary_rows():
    for ours, torchs in re.findall(r'UnaryOp::.*?\},\s+\[\]\(T x\) \{ return (.*?); \},\s+"([^"]+)"',
                                   (TESTS.parent / "unary_cases.hpp").read_text()):
        torch_name = next((v for k, v in PYTHON.items() if torchs.startswith(k)), torchs.split("(")[0])
        yield "Elementwise functions", torch_name, re.sub(r"\bx\b", "a", ours), ""


def page():
    families, verdicts = {}, {}
    found = [row for path in sorted(TESTS.glob("*_rows.cpp")) for row in rows(path)]
    for family, name, call, differs in [*unary_rows(), *found]:
        call = call.replace("|", "\\|")
        families.setdefault(family, []).append(f"| `{name}` | `{call}` | {differs or 'same'} |\n")
        verdicts.setdefault(name.split(",")[0], set()).add(bool(differs))
    lines, absent = "", 0
    for line in ABSENT.strip().split("\n"):
        names, _, instead = line.partition(":")
        missing = [name for name in names.split(", ") if name not in verdicts]
        absent += len(missing)
        if missing:
            lines += f"- {', '.join(f'`{name}`' for name in missing)}{':' + instead if instead else ''}\n"
    same = sum(verdict == {False} for verdict in verdicts.values())
    text = HEAD.format(same=same, differ=len(verdicts) - same, absent=absent)
    for family, table in families.items():
        text += f"\n## {family}\n\n| PyTorch | tern | |\n| --- | --- | --- |\n" + "".join(table)
    return text + "\n## Absent\n\n" + lines


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if DOCS.read_text() == page() else "docs/from-pytorch.md: run tests/torch/table.py")
    DOCS.write_text(page())
