"""The loans project: will this mortgage application be denied?"""
