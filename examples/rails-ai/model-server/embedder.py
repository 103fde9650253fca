"""A BERT of safetensors, run by numpy: text in, one vector of length 1 out."""

import json
import pathlib
import unicodedata

import numpy


class Tokenizer:
    """WordPiece, uncased, as the vocabulary of the model wants it."""

    def __init__(self, vocabulary):
        self.ids = {word: number for number, word in enumerate(vocabulary)}

    def words(self, text):
        text = unicodedata.normalize("NFD", text.lower())
        word = ""
        for char in text:
            category = unicodedata.category(char)
            if category == "Mn":
                continue
            if category[0] in "LNM":
                word += char
                continue
            if word:
                yield word
                word = ""
            if category[0] in "PS":
                yield char
        if word:
            yield word

    def pieces(self, word):
        start, found = 0, []
        while start < len(word):
            prefix = "##" if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if prefix + word[start:end] in self.ids), None)
            if end is None:
                return [self.ids["[UNK]"]]
            found.append(self.ids[prefix + word[start:end]])
            start = end
        return found

    def encode(self, text, limit):
        pieces = [piece for word in self.words(text) for piece in self.pieces(word)]
        return [self.ids["[CLS]"], *pieces[: limit - 2], self.ids["[SEP]"]]


def safetensors(path):
    """The tensors of a file: 8 bytes of length, a header of JSON, the numbers."""
    content = numpy.memmap(path, dtype=numpy.uint8, mode="r")
    length = int(content[:8].view("<u8")[0])
    header = json.loads(bytes(content[8 : 8 + length]))
    header.pop("__metadata__", None)
    kinds = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensor = numpy.frombuffer(content[begin:end], dtype=kinds[entry["dtype"]]).reshape(entry["shape"])
        # In the file it begins anywhere; from there each product would copy it first.
        tensors[name] = tensor.astype(tensor.dtype.newbyteorder("="), copy=True)
    return tensors


def gelu(x):
    return 0.5 * x * (1 + numpy.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def softmax(x):
    x = numpy.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


class Embedder:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text())
        serving = json.loads((folder / "serving.json").read_text())
        self.version, self.limit = serving["version"], serving["max_tokens"]
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.tokenizer = Tokenizer((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
        tensors = safetensors(folder / "model.safetensors")
        self.tensors = {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}

    def linear(self, name, x):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, name, x):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / numpy.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-12)
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]

    def split(self, x):
        return x.reshape(len(x), self.heads, -1).transpose(1, 0, 2)

    def layer(self, name, x):
        q, k, v = (self.split(self.linear(f"{name}.attention.self.{part}", x)) for part in ("query", "key", "value"))
        weights = softmax(q @ k.transpose(0, 2, 1) / numpy.sqrt(q.shape[-1]))
        seen = (weights @ v).transpose(1, 0, 2).reshape(len(x), -1)
        x = self.norm(f"{name}.attention.output.LayerNorm", x + self.linear(f"{name}.attention.output.dense", seen))
        inner = gelu(self.linear(f"{name}.intermediate.dense", x))
        return self.norm(f"{name}.output.LayerNorm", x + self.linear(f"{name}.output.dense", inner))

    def embed(self, text):
        ids = self.tokenizer.encode(text, self.limit)
        tables = "embeddings.{}_embeddings.weight"
        x = self.tensors[tables.format("word")][ids] + self.tensors[tables.format("position")][: len(ids)]
        x = self.norm("embeddings.LayerNorm", x + self.tensors[tables.format("token_type")][0])
        for number in range(self.layers):
            x = self.layer(f"encoder.layer.{number}", x)
        mean = x.mean(axis=0)
        return mean / numpy.linalg.norm(mean)
