"""The quality gate: its condition language, metrics, intervals and row counts. Pure: no engine, no files, no clock.

In come rows with labels and predictions; out come intervals, verdicts of conditions and the row counts they need.

`language` and `names` are light, so that the description can be read without numpy; all else imports numpy, SciPy
and scikit-learn inside its functions. Formulas cite their source where they stand:

- Renggli et al. (2019), Continuous Integration of Machine Learning Models with ease.ml/ci, MLSys.
- Bonett and Price (2012), Adjusted Wald Confidence Interval for a Difference of Binomial Proportions Based on Paired
  Data, J. Educ. Behav. Stat. 37(4). Recommended by Fagerland, Lydersen and Laake (2014), Stat. Med. 33(16).
- Tango (1998), Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample
  Design, Stat. Med. 17(8).
- Clopper and Pearson (1934), Biometrika 26(4). Efron (1987), Better Bootstrap Confidence Intervals, JASA 82(397).
- Hanley and McNeil (1982), The Meaning and Use of the Area under a ROC Curve, Radiology 143(1).
- Hoeffding (1963), JASA 58(301). Bennett (1962), JASA 57(297). Guo et al. (2017), On Calibration, ICML.
"""
