// Runs a graph model by TensorFlow.js itself, for the check of what was converted from it.
//     node original.cjs TF_MIN_JS MODEL_JSON INPUT OUTPUT
// INPUT holds one tensor as raw little-endian numbers of the type and shape that the model declares;
// OUTPUT becomes {"name": [numbers]}.
const fs = require("fs");
const path = require("path");

const [library, file, input, output] = process.argv.slice(2).map((one) => path.resolve(one));
const tf = require(library);

function handler() {
  const model = JSON.parse(fs.readFileSync(file, "utf8"));
  const parts = model.weightsManifest.flatMap((group) => group.paths);
  const data = Buffer.concat(parts.map((part) => fs.readFileSync(path.join(path.dirname(file), part))));
  return {
    load: async () => ({
      modelTopology: model.modelTopology,
      signature: model.signature,
      weightSpecs: model.weightsManifest.flatMap((group) => group.weights),
      weightData: data.buffer.slice(data.byteOffset, data.byteOffset + data.length),
    }),
  };
}

async function main() {
  await tf.setBackend("cpu");
  const model = await tf.loadGraphModel(handler());
  const { shape, dtype } = model.inputs[0];
  const bytes = fs.readFileSync(input);
  const numbers = new (dtype === "int32" ? Int32Array : Float32Array)(
    bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
  );
  const names = model.outputs.map((one) => one.name);
  const tensors = await model.executeAsync(tf.tensor(numbers, shape, dtype), names);
  const answer = {};
  [].concat(tensors).forEach((tensor, index) => (answer[names[index]] = Array.from(tensor.dataSync())));
  fs.writeFileSync(output, JSON.stringify(answer));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
