"""Writes trained parameters, tokenizer and chat template as one GGUF file: Q8_0, norms in f32."""

import hashlib
import json

import gguf
import numpy as np

SIZE_MAX = 8_000_000  # bytes; the repository carries the file
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
# Our name for each layer parameter, and the GGUF's.
BLOCK_NAMES = {
    "attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
    "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down",
}


def write(path, params, config, tokenizer, special):
    """Returns the file's size; also writes its SHA-256 beside it in sha256sum's format."""
    w = gguf.GGUFWriter(str(path), "llama")
    w.add_name("Vouchsafe demo")
    w.add_description("A tiny model that answers questions about confidential inference")
    w.add_license("MIT OR Apache-2.0")
    w.add_languages(["en"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    w.add_vocab_size(config.vocab)
    w.add_context_length(config.context)
    w.add_embedding_length(config.width)
    w.add_block_count(config.layers)
    w.add_feed_forward_length(config.hidden)
    w.add_head_count(config.heads)
    w.add_head_count_kv(config.kv_heads)
    w.add_rope_dimension_count(config.head_width)
    w.add_rope_freq_base(config.rope_base)
    w.add_layer_norm_rms_eps(config.norm_eps)
    add_tokenizer(w, tokenizer, special)

    def tensor(name, value):
        value = np.ascontiguousarray(value, np.float32)
        if value.ndim == 1:
            w.add_tensor(name, value)
        else:
            kind = gguf.GGMLQuantizationType.Q8_0
            w.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)

    tensor("token_embd.weight", params["embed"])  # also the output matrix: tied
    for i in range(config.layers):
        for ours, theirs in BLOCK_NAMES.items():
            value = np.asarray(params["blocks"][ours][i])
            # GGUF holds matrices as [out, in].
            tensor(f"blk.{i}.{theirs}.weight", value.T if value.ndim == 2 else value)
    tensor("output_norm.weight", params["norm"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()

    content = path.read_bytes()
    if len(content) > SIZE_MAX:
        raise SystemExit(f"{path} has {len(content)} bytes, more than {SIZE_MAX}")
    digest = hashlib.sha256(content).hexdigest()
    path.with_name(path.name + ".sha256").write_text(f"{digest}  {path.name}\n")
    return len(content)


def add_tokenizer(w, tokenizer, special):
    kinds = gguf.TokenType
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("gpt-2")
    w.add_token_list([text for text, _ in by_id])
    w.add_token_types([kinds.CONTROL if text in special else kinds.NORMAL for text, _ in by_id])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    w.add_bos_token_id(tokenizer.token_to_id("<|endoftext|>"))
    w.add_eos_token_id(tokenizer.token_to_id("<|im_end|>"))
    w.add_pad_token_id(tokenizer.token_to_id("<|endoftext|>"))
    w.add_add_bos_token(False)
    w.add_add_eos_token(False)
    w.add_chat_template(CHAT_TEMPLATE)
