"""The option or number that a text settles on."""

import pytest

from whorl.probes.final_answers import final_choice, final_number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("B.", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("B) because it is larger", "B"),
        ("B: 42", "B"),
        ("The answer is (B)", "B"),
        ("The answer is B because A and C are smaller.", "B"),
        ("A is tempting. But the correct option is: **D**", "D"),
        ("First I thought the answer is A. No: the answer is C.", "C"),
        ("Option B is correct.", "B"),
        ("I would choose option C.", "C"),
        (r"So $\boxed{B}$", "B"),
        (r"\boxed{\text{(D)}}", "D"),
        ('{"reasoning": "A or B", "answer": "B"}', "B"),
        ("{'answer': 'C'}", "C"),
        ("<answer>D</answer>", "D"),
        ("Die Antwort ist C.", "C"),
        ("答案是 B", "B"),
        ("答案：C", "C"),
        ("Checking each one.\n\nC\n", "C"),
        ("A dog would be happy.", None),
        ("Either A or B.", None),
        ("(A) and (B) are both possible", None),
        ("The answer is a dog", None),
        ("E", None),
        ("I do not know", None),
        ("", None),
    ],
)
def test_choice(text: str, letter: str | None) -> None:
    assert final_choice(text) == letter


def test_a_letter_beyond_the_options_is_no_answer() -> None:
    assert final_choice("The answer is F", "ABCDEFGHIJ") == "F"
    assert final_choice("The answer is F", "ABCD") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("She has 3 apples and 4 pears, so 7.", "7"),
        ("#### 1,234", "1234"),
        (r"$\boxed{1{,}024}$", "1024"),
        (r"\boxed{\frac{6}{8}}", "3/4"),
        (r"\boxed{-\dfrac{3}{6}}", "-1/2"),
        ("6/8", "3/4"),
        ('{"reasoning": "2 and 2", "answer": "5"}', "5"),
        ('{"answer": "$1,234.50"}', "1234.5"),
        ("The answer is 42. It was checked in step 3.", "42"),
        ("1,024.00 m", "1024"),
        ("3,5", "3.5"),
        ("0.50", "0.5"),
        ("007", "7"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("about 12 %", "12"),
        ("$70", "70"),
        ("It starts at 2:00 pm", "2:00"),
        ("1'000'000", "1000000"),
        ('{"answer": "no solution"}', None),
        ("none", None),
        ("", None),
    ],
)
def test_number(text: str, number: str | None) -> None:
    assert final_number(text) == number


def test_the_end_of_a_long_chain_of_thought_counts() -> None:
    chain = "Step: option A gives 17. The answer is A? Not yet.\n" * 20_000
    assert final_choice(chain + "So the answer is (C).") == "C"
    assert final_number(chain + "So the total is 99.") == "99"
