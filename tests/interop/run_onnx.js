// Runs exported models: node run_onnx.js FOLDER, with NODE_PATH the node_modules that has onnxruntime-node.
// For each NAME.onnx and each NAME.NUMBER.in, safetensors by the model's input names, the outputs go to NAME.NUMBER.out;
// what fails is said in NAME.NUMBER.error.
const fs = require('fs');
const path = require('path');
const ort = require('onnxruntime-node');

const DTYPES = {F32: ['float32', Float32Array], F64: ['float64', Float64Array], I64: ['int64', BigInt64Array],
                U8: ['uint8', Uint8Array]};
const NAMES = Object.fromEntries(Object.entries(DTYPES).map(([name, [dtype]]) => [dtype, name]));

function load(file) {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
  const tensors = {};
  for (const [name, {dtype, shape, data_offsets: [first, last]}] of Object.entries(header)) {
    const [type, Elements] = DTYPES[dtype];
    const part = bytes.subarray(8 + length + first, 8 + length + last);
    const copy = new Uint8Array(part);  // aligned
    tensors[name] = new ort.Tensor(type, new Elements(copy.buffer), shape);
  }
  return tensors;
}

function save(file, tensors) {
  const header = {}, parts = [];
  let end = 0;
  for (const [name, x] of Object.entries(tensors)) {
    const data = Buffer.from(x.data.buffer, x.data.byteOffset, x.data.byteLength);
    header[name] = {dtype: NAMES[x.type], shape: Array.from(x.dims, Number), data_offsets: [end, end + data.length]};
    parts.push(data);
    end += data.length;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, text, ...parts]));
}

async function main(folder) {
  const files = fs.readdirSync(folder).sort();
  for (const model of files.filter((file) => file.endsWith('.onnx'))) {
    const stem = model.slice(0, -'.onnx'.length);
    let session = null, reason = null;
    try {
      session = await ort.InferenceSession.create(path.join(folder, model), {intraOpNumThreads: 1, logSeverityLevel: 3});
    } catch (error) {
      reason = error;
    }
    for (const file of files.filter((each) => each.startsWith(stem + '.') && each.endsWith('.in'))) {
      const place = path.join(folder, file.slice(0, -'.in'.length));
      try {
        if (reason) throw reason;
        save(place + '.out', await session.run(load(path.join(folder, file))));
      } catch (error) {
        fs.writeFileSync(place + '.error', String(error.message));
      }
    }
  }
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
