"""Writes a Llama of random numbers that vLLM can serve offline: make_model.py DIR [--weights MIB]."""
import argparse
import json
import pathlib

SPECIAL = ['<pad>', '<s>', '</s>', '<unk>']


def config(hidden, inter, layers, heads, kv_heads, vocab):
    return {
        'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'torch_dtype': 'bfloat16', 'hidden_act': 'silu',
        'hidden_size': hidden, 'intermediate_size': inter, 'num_hidden_layers': layers, 'head_dim': 64,
        'num_attention_heads': heads, 'num_key_value_heads': kv_heads, 'vocab_size': vocab,
        'max_position_embeddings': 131072, 'rms_norm_eps': 1e-5, 'rope_theta': 10000.0, 'tie_word_embeddings': False,
        'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': 0,
    }


def write_tokenizer(where):
    from tokenizers import Tokenizer, models, pre_tokenizers
    vocab = {w: i for i, w in enumerate(SPECIAL + [f'word{i}' for i in range(len(SPECIAL), 1024)])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token='<unk>'))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(where / 'tokenizer.json'))
    (where / 'tokenizer_config.json').write_text(json.dumps({
        'tokenizer_class': 'PreTrainedTokenizerFast', 'bos_token': '<s>', 'eos_token': '</s>', 'unk_token': '<unk>',
        'pad_token': '<pad>', 'model_max_length': 131072}))


def tensors(c):
    h, i, q, kv = c['hidden_size'], c['intermediate_size'], 64 * c['num_attention_heads'], 64 * c['num_key_value_heads']
    yield 'model.embed_tokens.weight', (c['vocab_size'], h)
    for n in range(c['num_hidden_layers']):
        layer = f'model.layers.{n}.'
        yield layer + 'self_attn.q_proj.weight', (q, h)
        yield layer + 'self_attn.k_proj.weight', (kv, h)
        yield layer + 'self_attn.v_proj.weight', (kv, h)
        yield layer + 'self_attn.o_proj.weight', (h, q)
        yield layer + 'mlp.gate_proj.weight', (i, h)
        yield layer + 'mlp.up_proj.weight', (i, h)
        yield layer + 'mlp.down_proj.weight', (h, i)
        yield layer + 'input_layernorm.weight', (h,)
        yield layer + 'post_attention_layernorm.weight', (h,)
    yield 'model.norm.weight', (h,)
    yield 'lm_head.weight', (c['vocab_size'], h)


def write_weights(where, c):
    import torch
    from safetensors.torch import save_file
    shapes = list(tensors(c))
    half = len(shapes) // 2
    index, total = {}, 0
    for number, part in enumerate((shapes[:half], shapes[half:]), 1):
        name = f'model-{number:05d}-of-00002.safetensors'
        data = {key: (torch.rand(shape) - 0.5).mul_(0.04).to(torch.bfloat16) for key, shape in part}
        total += sum(t.numel() * 2 for t in data.values())
        save_file(data, str(where / name), metadata={'format': 'pt'})
        index.update({key: name for key, _ in part})
    (where / 'model.safetensors.index.json').write_text(
        json.dumps({'metadata': {'total_size': total}, 'weight_map': index}))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('dir', type=pathlib.Path)
    parser.add_argument('--weights', type=int, metavar='MIB', help='about so many MiB of weights in two shards')
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    if args.weights:
        per_layer = 2 * (2 * 1536 * 1536 + 2 * 512 * 1536 + 3 * 6144 * 1536) / 2**20
        layers = max(1, round((args.weights - 2 * 2 * 32000 * 1536 / 2**20) / per_layer))
        c = config(1536, 6144, layers, 24, 8, 32000)
    else:
        c = config(256, 512, 2, 4, 2, 1024)
    write_tokenizer(args.dir)
    if args.weights:
        write_weights(args.dir, c)
    (args.dir / 'generation_config.json').write_text(json.dumps({'bos_token_id': 1, 'eos_token_id': 2, 'pad_token_id': 0}))
    (args.dir / 'config.json').write_text(json.dumps(c, indent=1))  # last: it says that the model is whole


main()
