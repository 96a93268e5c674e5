import pytest
import torch

from bert_core.model.encoder import BertConfig
from bert_core.model.heads import build_model
from bert_core.training.adversarial import watching_word_vectors

CONFIG = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
IDS = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 12, 3, 0]])
LENGTHS, LABELS = torch.tensor([5, 4]), torch.tensor([0, 1])


@pytest.mark.parametrize("frozen", [False, True])
def test_each_example_moves_by_epsilon_along_its_gradient_and_its_loss_grows(frozen):
    model = build_model("single_sentence", CONFIG, ["a", "b"], seed=3).train()
    model.bert.embeddings.requires_grad_(not frozen)
    words = model.bert.embeddings.word_embeddings
    seen: list[torch.Tensor] = []

    def losses() -> torch.Tensor:
        return torch.nn.functional.cross_entropy(model(IDS, torch.zeros_like(IDS), LENGTHS), LABELS, reduction="none")

    with watching_word_vectors(model) as word_vectors:
        recorder = words.register_forward_hook(lambda module, inputs, output: seen.append(output))
        first = losses()
        first.mean().backward()
        gradient = seen[0].grad
        assert gradient is not None
        word_vectors.move_against(0.01)
        second = losses()
        recorder.remove()
    move = (seen[1] - seen[0]).detach()
    torch.testing.assert_close(move.flatten(1).norm(dim=1), torch.full((2,), 0.01), rtol=1e-3, atol=1e-6)
    for row in range(2):
        direction = gradient[row] / gradient[row].norm()
        torch.testing.assert_close(move[row], 0.01 * direction, rtol=1e-2, atol=1e-5)
    assert bool((second > first).all())
    assert (words.weight.grad is None) == frozen


def test_a_pass_outside_is_as_before():
    model = build_model("single_sentence", CONFIG, ["a", "b"], seed=3).train()
    before = model(IDS, torch.zeros_like(IDS), LENGTHS)
    with watching_word_vectors(model) as word_vectors:
        model(IDS, torch.zeros_like(IDS), LENGTHS).sum().backward()
        word_vectors.move_against(1.0)
    assert torch.equal(model(IDS, torch.zeros_like(IDS), LENGTHS), before)
