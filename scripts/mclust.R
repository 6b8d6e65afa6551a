# Maximised log-likelihoods by mclust, which tests/mclust.csv keeps: Rscript scripts/mclust.R > tests/mclust.csv
suppressMessages(library(mclust))
names <- c(EEE = "tied", VVV = "full", VVI = "diag", VII = "spherical")
cat("# mclust ", as.character(packageVersion("mclust")), ", ", R.version.string, "\n", sep = "")
cat("data,covariance_type,n_components,log_likelihood\n")
for (data in c("faithful", "iris")) {
  X <- if (data == "iris") iris[, 1:4] else faithful
  for (model in names(names)) for (k in 1:9) {
    fit <- tryCatch(Mclust(X, G = k, modelNames = model, verbose = FALSE), error = function(e) NULL)
    if (!is.null(fit)) cat(paste(data, names[[model]], k, sprintf("%.6f", fit$loglik), sep = ","), "\n", sep = "")
  }
}
