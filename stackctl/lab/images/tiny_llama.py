"""Write a Llama of random weights and a few hundred kilobytes, with tokeniser and chat template.

Runs inside the vLLM image's root, where torch and transformers are. Its answers mean nothing; everything that
serves them is real.
"""

import sys
from pathlib import Path

import torch  # type: ignore[import-not-found]  # only in the image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]
from transformers import (  # type: ignore[import-not-found]
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

_SPECIAL = ["<bos>", "<eos>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"]
_CORPUS = [
    "a lab of virtual hosts serves a model that says nothing of worth at great speed",
    "the gateway passes each request to a replica and each answer back to its client",
]
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_tokeniser(place: Path) -> int:
    """Train and write a byte-level tokeniser; how many tokens it knows."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=_SPECIAL, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_CORPUS * 40, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=_SPECIAL[0], eos_token=_SPECIAL[1], pad_token=_SPECIAL[2]
    )
    wrapped.chat_template = _TEMPLATE
    wrapped.save_pretrained(place)
    return len(wrapped)


def write_model(place: Path, tokens: int) -> None:
    """Write a two-layer Llama."""
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(place)


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    write_model(directory, write_tokeniser(directory))
