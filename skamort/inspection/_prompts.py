"""What an explainer and its judges are asked, in one place.

Parts in braces are filled in. Nothing else in skamort speaks to a language model.
"""

EXPLAIN = """\
A unit in a model that reads text is active at some tokens and silent at all others. Below are
stretches of text in which it was active. The tokens where it was active stand between << and >>;
behind each stretch are those tokens again, each with how strongly it was active, from 0 to 10.

{examples}
{promoted}
Say in one sentence what the unit is active for. Name what the marked tokens and what stands
before them have in common, as precisely as the stretches allow; do not quote them. End with one
line of the form

[EXPLANATION]: your sentence
"""

PROMOTED = """
When the unit is active the model finds these tokens more likely: {more}
and these less likely: {less}
"""

DETECT = """\
A unit in a model that reads text is said to be active for: {explanation}

Below are {n} stretches of text, numbered. For each decide whether the unit is active anywhere in
it.

{examples}

Answer with one Python list of {n} numbers in the order of the stretches, 1 where it is active and
0 where it is not, and nothing after it.
"""

SIMULATE = """\
A unit in a model that reads text is said to be active for: {explanation}

Below is a stretch of text, one token a line. For each token say how strongly the unit is active
there, as a whole number from 0, not at all, to 10, as strongly as ever.

{tokens}

Answer with one Python list of {n} whole numbers in the order of the tokens, and nothing after it.
"""
