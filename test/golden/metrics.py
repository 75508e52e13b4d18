"""Goldens of the metrics: BLEU and chrF by sacreBLEU, ROUGE by rouge-score, exact match and token F1 by torchmetrics' SQuAD metric, error rates by nltk's edit
distance, scores of labels by scikit-learn, on generated and multilingual texts. Writes metrics.json beside this file, or into the folder given.
"""

import random

import nltk
import sacrebleu
import sklearn
import torchmetrics
from rouge_score import rouge_scorer
from sacrebleu.metrics import BLEU, CHRF
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from torchmetrics.functional.text import squad

from common import out_folder, write_json

TEXTS = [
    "The quick brown fox jumps over the lazy dog.",
    "A whale, the White Whale, rose from the sea; the ship (Pequod) turned -- and was gone!",
    "In 1851, about 1,234.5 copies were sold at $3.50 each, i.e. 42% of them.",
    "He said: \"don't touch that!\" -- she did'nt listen & left at 5-6 o'clock.",
    "Le chat est assis sur le tapis, n'est-ce pas ? L'été sera chaud.",
    "Où est la bibliothèque ? Elle est fermée aujourd'hui.",
    "Der schnelle braune Fuchs springt über den faulen Hund; Straße ÄÖÜ.",
    "Привет, мир! Как дела? Всё хорошо, спасибо.",
    "Γειά σου Κόσμε, ΟΔΟΣ ΜΟΥΣΙΚΗΣ.",
    "今日は天気がいいから、散歩しましょう。",
    "你好，世界！我们今天去公园散步。",
    "안녕하세요 세계. 오늘은 날씨가 좋네요.",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "שלום עולם, מה שלומך?",
    "नमस्ते दुनिया। आप कैसे हैं?",
    "I love 👋🌍 and 👩‍👩‍👧, also 🇫🇷!! 😀. 😀, ok",
    "HH AH0 L OW1 W ER1 L D",
    "the an a The AN the-a a.b théa a1 _a é a",
    "&quot;A &amp; B&quot; &lt;tag&gt; <skipped> x-\ny line\nbreak",
    "First sentence here.\nSecond sentence is longer than the first.\nThird one, too.",
    "Second sentence here is longer.\nFirst one, too.\nThird sentence than the first.",
    "x",
    ".",
    "",
    "   ",
    "a\u00a0b\u2003c\u3000d\x1ce\x85f\ufeffg",
    "e\u0301te\u0301 cafe\u0301 İstanbul K ﬁ ½ ²",
    "for (let i = 0; i < n; i++) { x[i] += ~y ^ z | w; } // @a #b $c %d _e `f`",
    "3,000.5 3.14.15 v1.2.3 a.b,c 1-2 -3 4- .5 5. ,6 6,",
    "tab\tseparated\r\nlines end-",
    "end-\n",
]


def mutate(random_, text):
    """A text like `text`: words dropped, doubled, swapped, replaced; characters changed; case changed."""
    pieces = text.split(" ")
    for _ in range(random_.randrange(0, 4)):
        if not pieces:
            break
        i = random_.randrange(len(pieces))
        kind = random_.randrange(7)
        if kind == 0:
            del pieces[i]
        elif kind == 1:
            pieces.insert(i, pieces[i])
        elif kind == 2:
            j = random_.randrange(len(pieces))
            pieces[i], pieces[j] = pieces[j], pieces[i]
        elif kind == 3:
            pieces[i] = random_.choice(random_.choice(TEXTS).split(" "))
        elif kind == 4 and pieces[i]:
            j = random_.randrange(len(pieces[i]))
            pieces[i] = pieces[i][:j] + random_.choice("aé.,-世😀(1 \n") + pieces[i][j + 1 :]
        elif kind == 5:
            pieces[i] = pieces[i].swapcase()
        else:
            pieces = pieces[: i + 1]
    return " ".join(pieces)


def pairs():
    random_ = random.Random(7)
    found = [(text, text) for text in TEXTS]
    for text in TEXTS * 8:
        found.append((mutate(random_, text), mutate(random_, text)))
    for _ in range(60):
        found.append((mutate(random_, random_.choice(TEXTS)), random_.choice(TEXTS)))
    alphabet = "abc ABC.,-'\"0123 \n世界é😀"
    for _ in range(60):
        found.append(tuple("".join(random_.choice(alphabet) for _ in range(random_.randrange(0, 40))) for _ in range(2)))
    return found


BLEUS = {
    "13a": {},
    "char": {"tokenize": "char"},
    "none": {"tokenize": "none"},
    "lowercase": {"lowercase": True},
    "unsmoothed": {"smooth_method": "none"},
    "sentence": {"effective_order": True},
}
CHRFS = {
    "chrf": {},
    "chrf++": {"word_order": 2},
    "chrf+ beta 1": {"word_order": 1, "beta": 1},
    "whitespace": {"whitespace": True},
    "lowercase": {"lowercase": True, "char_order": 4},
}
ROUGES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
scorer = rouge_scorer.RougeScorer(ROUGES)


def streams(references):
    """sacreBLEU's form of references: one list for each place, with None where an example has fewer."""
    most = max(len(one) for one in references)
    return [[one[i] if i < len(one) else None for one in references] for i in range(most)]


def signature(metric):
    return str(metric.get_signature()).rsplit("|version:", 1)[0]


def answer(prediction, right):
    """Exact match and F1 of one prediction, 0 to 1."""
    answers = {"answer_start": [0] * len(right), "text": right}
    score = squad([{"prediction_text": prediction, "id": "0"}], [{"answers": answers, "id": "0"}])
    return score["exact_match"].item() / 100, score["f1"].item() / 100


def texts(predictions, references):
    """What the libraries make of a corpus; `references` is a list of lists."""
    result = {"bleu": {}, "chrf": {}}
    for name, options in BLEUS.items():
        metric = BLEU(force=True, **options)
        score = metric.corpus_score(predictions, streams(references))
        result["bleu"][name] = {
            "score": score.score,
            "precisions": list(score.precisions),
            "matches": list(score.counts),
            "totals": list(score.totals),
            "brevityPenalty": score.bp,
            "predictionLength": score.sys_len,
            "referenceLength": score.ref_len,
            "signature": signature(metric),
        }
    for name, options in CHRFS.items():
        metric = CHRF(**options)
        score = metric.corpus_score(predictions, streams(references))
        result["chrf"][name] = {"score": score.score, "name": score.name, "signature": signature(metric)}
    scores = [scorer.score_multi(right, prediction) for prediction, right in zip(predictions, references)]
    count = len(predictions)
    result["rouge"] = {
        kind: {part: sum(getattr(score[kind], part) for score in scores) / count for part in ("precision", "recall", "fmeasure")} for kind in ROUGES
    }
    answers = [answer(p, right) for p, right in zip(predictions, references)]
    result["answers"] = {"exactMatch": sum(one[0] for one in answers) / count, "f1": sum(one[1] for one in answers) / count}
    for unit, cut in (("word", str.split), ("character", list)):
        edits = length = 0
        for prediction, right in zip(predictions, references):
            found = [(nltk.edit_distance(cut(prediction), cut(one)), len(cut(one))) for one in right]
            best = min(found, key=lambda pair: pair[0] / pair[1] if pair[1] else min(1, pair[0]))
            edits += best[0]
            length += best[1]
        result[unit] = {"edits": edits, "length": length}
    return result


def single(prediction, reference):
    """Numbers of one pair alone, fewer than of a corpus."""
    score = scorer.score(reference, prediction)
    exact, f1 = answer(prediction, [reference])
    return {
        "bleu": BLEU(force=True).corpus_score([prediction], [[reference]]).score,
        "sentence": BLEU(force=True, effective_order=True).corpus_score([prediction], [[reference]]).score,
        "chrf": CHRF().corpus_score([prediction], [[reference]]).score,
        "chrf++": CHRF(word_order=2).corpus_score([prediction], [[reference]]).score,
        "rouge": [score[kind].fmeasure for kind in ROUGES],
        "exact": exact,
        "f1": f1,
        "words": nltk.edit_distance(prediction.split(), reference.split()),
        "characters": nltk.edit_distance(prediction, reference),
    }


def labels():
    random_ = random.Random(11)
    cases = []
    for count, used, examples in [(2, 2, 50), (2, 2, 1), (3, 3, 200), (5, 4, 37), (5, 2, 12), (7, 7, 400), (2, 1, 9)]:
        references = [random_.randrange(used) for _ in range(examples)]
        predictions = [r if random_.random() < 0.6 else random_.randrange(used) for r in references]
        case = {"labels": [f"l{i}" for i in range(count)], "predictions": predictions, "references": references}
        case["accuracy"] = accuracy_score(references, predictions)
        case["confusion"] = confusion_matrix(references, predictions, labels=range(count)).tolist()
        for average in ("macro", "micro", "weighted"):
            case[average] = list(precision_recall_fscore_support(references, predictions, average=average, zero_division=0)[:3])
        each = precision_recall_fscore_support(references, predictions, labels=range(count), zero_division=0)
        case["each"] = [list(map(float, numbers)) for numbers in zip(*each)]
        cases.append(case)
    return cases


def main():
    found = pairs()
    corpora = []
    random_ = random.Random(13)
    for chosen in [range(len(found)), range(len(TEXTS)), range(len(TEXTS), 120), [22, 23], [23], random_.sample(range(len(found)), 40)]:
        indices = list(chosen)
        result = texts([found[i][0] for i in indices], [[found[i][1]] for i in indices])
        corpora.append({"indices": indices, "others": 0, **result})
    # Several references: those of the pair, and of the next one or two pairs.
    for others in (1, 2):
        indices = list(range(40, 160))
        references = [[found[i + j][1] for j in range(others + 1)] for i in indices]
        corpora.append({"indices": indices, "others": others, **texts([found[i][0] for i in indices], references)})
    versions = {"sacrebleu": sacrebleu.__version__, "scikit-learn": sklearn.__version__, "nltk": nltk.__version__, "torchmetrics": torchmetrics.__version__}
    write_json(
        "metrics.json",
        __file__,
        {
            "versions": versions,
            "pairs": [list(pair) for pair in found],
            "singles": [single(*pair) for pair in found],
            "corpora": corpora,
            "labels": labels(),
        },
        out_folder(),
    )


if __name__ == "__main__":
    main()
